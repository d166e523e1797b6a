//! `DELETE /executions`: forgetting ended ones.
use std::collections::BTreeSet;

use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{
        deployments::Deployment,
        executions::{Execution, is_end},
    },
};
use stratalog_schema::{Event, events::ExecutionDeleted};

use super::stream;
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::Error,
    store::Decision,
};

/// Which ended executions are to go.
#[derive(Debug, Clone)]
pub struct Delete {
    /// Whose.
    pub scope: Scope,
    /// Further conditions.
    pub conditions: Vec<Condition>,
    /// All but the newest so many.
    pub keep_last: Option<usize>,
    /// Those created before this moment; milliseconds since the epoch.
    pub before_ms: Option<i64>,
}

/// Deletes them; gives their number and the position. What created a deployment stays with it.
///
/// # Errors
/// 403; database errors.
pub async fn delete(ctx: &Context, caller: &Caller, what: &Delete) -> Result<(usize, i64), Error> {
    caller.require(Permission::ExecutionDelete)?;
    let (appended, count) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut query = ListQuery::all(View::Executions, what.scope.clone());
            query.conditions.clone_from(&what.conditions);
            if let Some(before_ms) = what.before_ms {
                let older = Condition::Below("created_at".to_owned(), before_ms);
                query = query.with(older);
            }
            let all = ListQuery::all(View::Deployments, Scope::Everything);
            let deployments: Vec<Deployment> = view.select_as(&all).await?;
            let kept: BTreeSet<String> = deployments
                .into_iter()
                .filter_map(|d| d.create_execution)
                .collect();
            let mut found: Vec<Execution> = view.select_as(&query).await?;
            let within = |execution: &Execution| match &what.scope {
                Scope::Everything => true,
                // the scope of a list holds global ones of other tenants, too
                Scope::Tenants { tenants, .. } => tenants.contains(&execution.tenant_name),
            };
            found.retain(|execution| {
                is_end(&execution.status) && !kept.contains(&execution.id) && within(execution)
            });
            found.truncate(found.len().saturating_sub(what.keep_last.unwrap_or(0)));
            let mut decision = Decision::nothing();
            for execution in &found {
                let event = ExecutionDeleted {
                    id: execution.id.clone(),
                    tenant: execution.tenant_name.clone(),
                };
                let changes = stream(&execution.tenant_name, &execution.id);
                decision.event(changes, Event::ExecutionDeleted(event));
            }
            Ok((decision, found.len()))
        })
        .await?;
    Ok((count, appended.last_position))
}
