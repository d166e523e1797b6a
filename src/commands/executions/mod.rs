//! Executions: starting, cancelling, resuming, and what their progress means for others. Whoever
//! runs workflows, the executor or a worker over REST, changes executions through here.
mod act;
mod available;
mod cascade;
mod delete;
mod dequeue;
mod group;
mod new;
mod objects;
mod parameters;
mod start;
mod status;
pub mod telemetry;
mod timeline;
mod token;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    view::restore,
    views::{executions::Execution, scoped},
};
use stratalog_schema::{Category, Event, StreamId, events::DecisionNoted};

pub use act::{Action, act};
pub(crate) use act::{cancel_in_group, resume_as};
pub(crate) use available::Surroundings;
pub use delete::{Delete, delete};
pub use dequeue::dequeue;
pub(crate) use group::{InGroup, prepare_in_group};
pub use new::NewExecution;
pub(crate) use start::{Prepared, WAIT_AFTER_FAIL_S, active_anywhere, prepare, require_workflow};
pub use start::{Restored, StartExecution, start};
pub(crate) use status::reported;
pub use status::{set_status, status_decision};
pub use timeline::{Step, Timeline, timeline};
pub use token::{clear_token, issue_token};

use crate::{
    auth::Caller, clock, commands::visibility, context::Context, error::Error, log::NewEvent, store,
};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::Executions, "Execution");

/// Workflows that are not taken from a deployment's declarations.
const SYSTEM: [&str; 10] = [
    "create_snapshot",
    "restore_snapshot",
    "uninstall_plugin",
    "update_plugin",
    "create_log_bundle",
    "upload_blueprint",
    "create_deployment_environment",
    "delete_deployment_environment",
    "csys_update_deployment",
    "update",
];

/// Workflows of the whole manager that only look: nobody needs to wait for them.
const HARMLESS: [&str; 2] = ["create_snapshot", "create_log_bundle"];

fn is_harmless(workflow_id: &str) -> bool {
    HARMLESS.contains(&workflow_id)
}

/// Whether a workflow needs no declaration.
pub fn is_system(workflow_id: &str) -> bool {
    SYSTEM.contains(&workflow_id)
}

/// Whether default lists leave its executions out.
pub fn is_hidden(workflow_id: &str) -> bool {
    matches!(
        workflow_id,
        "create_snapshot"
            | "restore_snapshot"
            | "update_plugin"
            | "uninstall_plugin"
            | "create_log_bundle"
    )
}

/// The stream of an execution, its graphs and operations.
pub(crate) fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Execution, tenant, id)
}

/// Kind of what is noted when a runner goes on with what another one began.
pub(crate) const TAKEN_OVER: &str = "taken_over";

/// What was decided of an execution, with what was seen then.
pub(crate) fn noted(execution: &Execution, kind: &str, inputs: &Value) -> NewEvent {
    noted_of((&execution.tenant_name, &execution.id), kind, inputs)
}

fn noted_of((tenant, id): (&str, &str), kind: &str, inputs: &Value) -> NewEvent {
    let event = DecisionNoted {
        execution_id: id.to_owned(),
        tenant: tenant.to_owned(),
        kind: kind.to_owned(),
        inputs_json: inputs.to_string(),
        at_ms: clock::now_ms(),
    };
    NewEvent::new(stream(tenant, id), Event::DecisionNoted(event))
}

/// The execution as the caller sees it, to be changed.
///
/// # Errors
/// 404; 400 for a global one of another tenant; 403 without a tenant; database errors.
pub(crate) async fn load(
    view: &store::View,
    caller: &Caller,
    id: &str,
) -> Result<Execution, Error> {
    Ok(visibility::own(caller, view, MODEL, id).await?.resource()?)
}

/// The execution of a tenant as the log's writer knows it by heart, with the generation of what it
/// knows.
///
/// # Errors
/// `Internal` for a stored document of another shape.
pub(crate) fn running(
    ctx: &Context,
    (tenant, id): (&str, &str),
) -> Result<Option<(Execution, u64)>, Error> {
    let key = scoped(tenant, id);
    let known = ctx.store.log().latest().ask(|known| {
        let row = known.row(View::Executions, &key)?;
        Some((row, known.generation()))
    });
    let Some((row, generation)) = known else {
        return Ok(None);
    };
    let execution = restore(&key, &row.doc, row.hidden.as_deref())?;
    Ok(Some((execution, generation)))
}

/// The execution of a tenant, whoever asks.
///
/// # Errors
/// Database errors.
pub(crate) async fn find(
    view: &store::View,
    tenant: &str,
    id: &str,
) -> Result<Option<Execution>, Error> {
    Ok(view.get(&scoped(tenant, id)).await?)
}

/// The executions of a deployment in any of these states.
pub(super) async fn of_deployment(
    view: &store::View,
    (tenant, deployment_id): (&str, &str),
    statuses: &[&str],
) -> Result<Vec<Execution>, Error> {
    let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
    let query = ListQuery::all(View::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
        .with(Condition::AnyOf(
            "deployment_id".to_owned(),
            vec![deployment_id.to_owned()],
        ));
    let mut found: Vec<Execution> = view.select_as(&query).await?;
    found.retain(|execution| execution.tenant_name == tenant);
    Ok(found)
}

/// States of executions that run or are about to.
pub const ACTIVE: [&str; 5] = [
    "pending",
    "started",
    "cancelling",
    "force_cancelling",
    "kill_cancelling",
];

/// The parameters as a map.
pub(crate) fn parameters_of(execution: &Execution) -> Result<Map<String, Value>, Error> {
    match &execution.parameters {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal),
        None => Ok(Map::new()),
    }
}
