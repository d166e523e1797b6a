//! Groups of executions: one workflow on all deployments of a group, some at a time.
mod act;
mod change;
mod restore;
mod start;

use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{
        execution_groups::ExecutionGroup,
        executions::{Execution, is_end},
        scoped,
    },
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{ExecutionGroupCreated, TelemetryRecord},
};

pub use act::act;
pub use change::{ChangeGroup, change};
pub use start::{NewGroup, start};

use super::{
    deployment_groups::{self, extended},
    executions::telemetry,
};
use crate::{
    auth::Caller,
    error::Error,
    log::NewEvent,
    store::{self, Decision},
};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::ExecutionGroups, "ExecutionGroup");

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::ExecutionGroup, tenant, id)
}

/// The event a group begins with, in its stream.
pub(crate) fn created(event: ExecutionGroupCreated) -> NewEvent {
    let tenant = event.scope.as_ref().map(|scope| scope.tenant.clone());
    let of = stream(&tenant.unwrap_or_default(), &event.id);
    NewEvent::new(of, Event::ExecutionGroupCreated(event))
}

async fn load(view: &store::View, caller: &Caller, id: &str) -> Result<ExecutionGroup, Error> {
    Ok(caller.get(view, MODEL, id).await?.resource()?)
}

/// The executions of a group, oldest first.
async fn executions_of(
    view: &store::View,
    group: &ExecutionGroup,
) -> Result<Vec<Execution>, Error> {
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let query = ListQuery::all(View::Executions, Scope::Everything)
        .with(is("execution_group_id", &group.id))
        .with(is("tenant_name", &group.tenant_name));
    Ok(view.select_as(&query).await?)
}

/// What a group's status is, by those of its executions with their numbers.
pub fn status<'a>(statuses: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let all = |admits: &dyn Fn(&str) -> bool| statuses.clone().all(admits);
    let waits = |status: &str| matches!(status, "queued" | "scheduled" | "pending");
    Some(match () {
        () if statuses.clone().next().is_none() => return None,
        () if all(&|status| status == "pending") => "pending",
        () if all(&waits) => "queued",
        () if !all(&is_end) => "started",
        () if statuses.clone().any(|status| status == "failed") => "failed",
        () => "terminated",
    })
}

/// What the change of an execution's status means for its group.
///
/// # Errors
/// Database errors.
pub(crate) async fn execution_changed(
    view: &store::View,
    execution: &Execution,
    decision: &mut Decision,
) -> Result<(), Error> {
    let Some(id) = &execution.own.execution_group_id else {
        return Ok(());
    };
    let found: Option<ExecutionGroup> = view.get(&scoped(&execution.tenant_name, id)).await?;
    let Some(group) = found else {
        return Ok(());
    };
    decision.telemetry.push(told(execution, &group));
    let receives = match execution.status.as_str() {
        "terminated" => &group.own.success_group_id,
        "failed" => &group.own.failure_group_id,
        _ => &None,
    };
    if let (Some(receives), Some(deployment)) = (receives, &execution.deployment_id) {
        let deployments = vec![deployment.clone()];
        hand_over(view, decision, (&group.tenant_name, receives), deployments).await?;
    }
    Ok(())
}

fn told(execution: &Execution, group: &ExecutionGroup) -> TelemetryRecord {
    let (id, status) = (&execution.id, &execution.status);
    let mut text = format!("execution '{id}' changed state to '{status}'");
    if let Some(error) = execution.error.as_ref().filter(|error| !error.is_empty()) {
        text.push_str(&format!(" with error '{error}'"));
    }
    let mut record = telemetry::event(execution, "execution_state_change", text);
    record.execution_id.clear();
    record.execution_group_id.clone_from(&group.id);
    record
}

/// Deployments join a group of deployments, if it is there and they are not in it.
async fn hand_over(
    view: &store::View,
    decision: &mut Decision,
    of: (&str, &str),
    mut deployments: Vec<String>,
) -> Result<(), Error> {
    if view
        .row(deployment_groups::MODEL.0, &scoped(of.0, of.1))
        .await?
        .is_none()
    {
        return Ok(());
    }
    let known = deployment_groups::member_ids(view, of).await?;
    deployments.retain(|id| !known.contains(id));
    deployments.dedup();
    if deployments.is_empty() {
        return Ok(());
    }
    decision
        .rests_on(view, deployment_groups::stream(of.0, of.1))
        .await?;
    decision.events.push(extended(of, deployments));
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What a group's status follows from.
    use super::status;

    #[test]
    fn a_group_is_what_its_executions_are() {
        for (statuses, expected) in [
            (&[][..], None),
            (&["pending", "pending"], Some("pending")),
            (&["pending", "queued"], Some("queued")),
            (&["queued"], Some("queued")),
            (&["started", "queued"], Some("started")),
            (&["terminated", "queued"], Some("started")),
            (&["terminated", "terminated"], Some("terminated")),
            (&["terminated", "failed"], Some("failed")),
            (&["cancelled"], Some("terminated")),
            (&["cancelling"], Some("started")),
        ] {
            assert_eq!(status(statuses.iter().copied()), expected, "{statuses:?}");
        }
    }
}
