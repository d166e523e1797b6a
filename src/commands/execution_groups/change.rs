//! `PATCH /execution-groups/{id}`: how many at a time, and who receives the deployments.
use serde::Deserialize;
use stratalog_projections::views::executions::Execution;
use stratalog_schema::{Event, events::ExecutionGroupChanged};

use super::{executions_of, hand_over, load, start::concurrency, stream};
use crate::{
    auth::{Caller, Permission},
    commands::{deployment_groups, visibility},
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// What is to change. What is absent stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ChangeGroup {
    /// Receives deployments whose execution succeeds, or has succeeded.
    pub success_group_id: Option<String>,
    /// Receives deployments whose execution fails, or has failed.
    pub failure_group_id: Option<String>,
    /// How many run at a time; 0 holds the others back.
    pub concurrency: Option<i64>,
}

/// Changes a group of executions.
///
/// # Errors
/// 400, 403, 404.
pub async fn change(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    change: &ChangeGroup,
) -> Result<(), Error> {
    caller.require(Permission::ExecutionGroupUpdate)?;
    concurrency(change.concurrency)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            let group = load(view, caller, id).await?;
            visibility::require_own(caller, id, &group.tenant_name)?;
            let tenant = group.tenant_name.as_str();
            let members = executions_of(view, &group).await?;
            let of = stream(tenant, id);
            let mut decision = Decision::nothing();
            decision.rests_on(view, of.clone()).await?;
            for (receives, status) in [
                (&change.success_group_id, "terminated"),
                (&change.failure_group_id, "failed"),
            ] {
                if let Some(receives) = receives {
                    deployment_groups::load(view, caller, receives).await?;
                    let ended = ended(&members, status);
                    hand_over(view, &mut decision, (tenant, receives), ended).await?;
                }
            }
            let event = ExecutionGroupChanged {
                id: id.to_owned(),
                tenant: tenant.to_owned(),
                concurrency: change.concurrency,
                success_group_id: change.success_group_id.clone(),
                failure_group_id: change.failure_group_id.clone(),
            };
            decision.event(of, Event::ExecutionGroupChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Deployments of the executions that ended so.
fn ended(members: &[Execution], status: &str) -> Vec<String> {
    let ended = members
        .iter()
        .filter(|execution| execution.status == status);
    let mut deployments: Vec<String> = ended.filter_map(|e| e.deployment_id.clone()).collect();
    deployments.sort_unstable();
    deployments.dedup();
    deployments
}
