//! Queued executions begin when what stood in their way has ended.
use std::collections::BTreeSet;

use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{deployments::Deployment, executions::Execution, scoped},
};
use stratalog_schema::Meta;

use super::{ACTIVE, available, start::workflow, status::status_decision};
use crate::{
    context::Context,
    error::Error,
    store::{self, Decision},
};

/// Executions that run at the same time, as far as queued ones are concerned.
const ACTIVE_MAX: usize = 20;

/// Makes queued executions pending, oldest first; those that cannot run any more fail. Gives their
/// number.
///
/// # Errors
/// Database errors.
pub async fn dequeue(ctx: &Context) -> Result<usize, Error> {
    let meta = Meta::system();
    let decided = ctx
        .store
        .command(&meta, None, async |view| decide(&view).await);
    Ok(decided.await?.1)
}

async fn decide(view: &store::View) -> Result<(Decision, usize), Error> {
    let queued: Vec<Execution> = view.select_as(&in_states(&["queued"])).await?;
    let mut decision = Decision::nothing();
    if queued.is_empty() {
        return Ok((decision, 0));
    }
    let active: Vec<Execution> = view.select_as(&in_states(&ACTIVE)).await?;
    let mut count = active.len();
    let place = |execution: &Execution| {
        let id = execution.deployment_id.as_ref()?;
        Some(scoped(&execution.tenant_name, id))
    };
    let mut busy: BTreeSet<String> = active.iter().filter_map(place).collect();
    let exclusive = |execution: &&Execution| {
        execution.is_system_workflow && execution.workflow_id != "create_snapshot"
    };
    if active.iter().any(|execution| exclusive(&execution)) {
        return Ok((decision, 0));
    }
    let alone = queued
        .iter()
        .find(exclusive)
        .map(|execution| execution.id.clone());
    let mut begun = 0;
    for mut execution in queued {
        let may_begin = match (&alone, place(&execution)) {
            (Some(id), _) => execution.id == *id && count == 0,
            (None, Some(place)) => count < ACTIVE_MAX && busy.insert(place),
            (None, None) => count < ACTIVE_MAX,
        };
        if !may_begin {
            continue;
        }
        let outcome = match unavailable(view, &execution).await? {
            None => ("pending", None),
            Some(reason) => (
                "failed",
                Some(format!("Error dequeueing execution: {reason}")),
            ),
        };
        count += usize::from(outcome.0 == "pending");
        begun += 1;
        let status = (outcome.0, outcome.1.as_deref());
        let changed = status_decision(view, &mut execution, status).await?;
        decision
            .rests_on(view, super::stream(&execution.tenant_name, &execution.id))
            .await?;
        decision.events.extend(changed.events);
    }
    Ok((decision, begun))
}

fn in_states(statuses: &[&str]) -> ListQuery {
    let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
    ListQuery::all(View::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
}

/// Why it cannot run after all.
async fn unavailable(view: &store::View, execution: &Execution) -> Result<Option<String>, Error> {
    let Some(id) = &execution.deployment_id else {
        return Ok(None);
    };
    let deployment: Option<Deployment> = view.get(&scoped(&execution.tenant_name, id)).await?;
    let Some(deployment) = deployment else {
        return Ok(Some(format!("the deployment {id} is gone")));
    };
    let checked = match workflow(Some(&deployment), &execution.workflow_id) {
        Ok(Some(spec)) if !execution.own.force => {
            available::check(view, &deployment, (&execution.workflow_id, &spec)).await
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Ok(None),
        Err(Error::Refused { message, .. }) => Ok(Some(message)),
        Err(error) => Err(error),
    }
}
