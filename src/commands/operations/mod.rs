//! Operations of task graphs: what workers report about them, and what follows from it.
mod claim;
pub mod effects;
mod running;
mod store;

use serde_json::{Map, Value};
use stratalog_projections::{
    View,
    views::{
        executions::Execution,
        operations::{Operation, is_terminal},
    },
};
use stratalog_schema::{
    Event,
    events::{OperationChange, OperationDeleted, OperationsChanged, TelemetryRecord},
};

pub(crate) use claim::claims;
pub use claim::{claim, parse as parse_claim};
pub(crate) use store::stored_anew;
pub use store::{NewOperation, UpdateStored, add, update_stored};

use self::running::Running;
use super::{
    executions::{self, stream, telemetry::TaskEvent},
    logs::{self, Said},
    visibility,
};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::Error,
    store::{Decision, View as Reader},
};

/// How the resource is called in messages.
pub const MODEL: (View, &str) = (View::Operations, "Operation");

/// A report about an operation.
#[derive(Debug, Clone, Default)]
pub struct UpdateOperation {
    /// The state it has taken.
    pub state: String,
    /// Its result.
    pub result: Value,
    /// Why it failed.
    pub exception: Option<String>,
    /// What led to that.
    pub exception_causes: Value,
    /// The manager that runs it.
    pub manager_name: Option<String>,
    /// The agent that runs it.
    pub agent_name: Option<String>,
}

/// Takes a report: `PATCH /operations/{id}`, and with it what has been said of the operation's
/// execution. Gives the position.
///
/// # Errors
/// 403, 404; database errors.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (report, said): (&UpdateOperation, &[Said]),
) -> Result<i64, Error> {
    caller.require_or_execution(Permission::Operations)?;
    if let Some(running) = Running::find(ctx, caller, id)?
        && let Some(position) = running.report(ctx, caller, (report, said)).await?
    {
        return Ok(position);
    }
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let operation: Operation =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            let told = told(view, caller, (&operation, said)).await?;
            let mut decision = decide(view, caller, &operation, report).await?;
            decision.telemetry.splice(0..0, told);
            Ok((decision, ()))
        })
        .await?;
    Ok(appended.last_position)
}

/// What was said of the operation's execution, as records.
async fn told(
    view: &Reader,
    caller: &Caller,
    (operation, said): (&Operation, &[Said]),
) -> Result<Vec<TelemetryRecord>, Error> {
    if said.is_empty() {
        return Ok(Vec::new());
    }
    require_own_words(caller, operation)?;
    let (tenant, id) = (&operation.tenant_name, &operation.own.execution_id);
    let execution = executions::find(view, tenant, id).await?;
    let execution = execution.ok_or_else(|| Error::not_found("Execution", id))?;
    logs::records(view, &execution, said).await
}

/// Executions speak of themselves.
fn require_own_words(caller: &Caller, operation: &Operation) -> Result<(), Error> {
    let own = caller.execution.as_ref();
    match own.is_some_and(|own| own.id == operation.own.execution_id) {
        true => Ok(()),
        false => Err(Error::bad_parameters(
            "said: the operation is another execution's",
        )),
    }
}

async fn decide(
    view: &Reader,
    caller: &Caller,
    operation: &Operation,
    report: &UpdateOperation,
) -> Result<Decision, Error> {
    let (tenant, id) = (&operation.tenant_name, &operation.own.execution_id);
    let execution = executions::find(view, tenant, id).await?;
    let mut decision = reported(caller, (operation, execution.as_ref()), report)?;
    if let Some(execution) = execution.filter(|_| !decision.events.is_empty())
        && report.state == "succeeded"
        && operation.state != "succeeded"
    {
        let parameters = parameters(operation)?;
        let arguments = parameters.get("task_kwargs");
        let arguments = arguments
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        let effect = effects::of(&operation.operation_type, &arguments);
        effects::add(view, &execution, &effect, &mut decision).await?;
    }
    Ok(decision)
}

fn parameters(operation: &Operation) -> Result<Value, Error> {
    match &operation.parameters {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal),
        None => Ok(Value::Object(Map::new())),
    }
}

/// The state that a report gives to an operation, and what is told about that; nothing when the
/// operation has ended already.
fn reported(
    caller: &Caller,
    (operation, execution): (&Operation, Option<&Execution>),
    report: &UpdateOperation,
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    if is_terminal(&operation.state) && !is_terminal(&report.state) {
        return Ok(decision);
    }
    let (tenant, execution_id) = (&operation.tenant_name, &operation.own.execution_id);
    let event = OperationsChanged {
        execution_id: execution_id.clone(),
        tenant: tenant.clone(),
        changes: vec![OperationChange {
            id: operation.id.clone(),
            state: report.state.clone(),
            manager_name: report.manager_name.clone(),
            agent_name: report.agent_name.clone(),
            parameters_json: None,
            result_json: (!report.result.is_null()).then(|| report.result.to_string()),
            exception: report.exception.clone(),
        }],
    };
    decision.event(
        stream(tenant, execution_id),
        Event::OperationsChanged(event),
    );
    let Some(execution) = execution.filter(|_| caller.execution.is_some()) else {
        return Ok(decision);
    };
    let told = TaskEvent {
        name: &operation.name,
        operation_type: &operation.operation_type,
        state: &report.state,
        parameters: &parameters(operation)?,
        result: &report.result,
        exception: report.exception.as_deref(),
        causes: Some(&report.exception_causes),
    };
    decision
        .telemetry
        .extend(told.record(execution).map(|record| TelemetryRecord {
            manager_name: report.manager_name.clone(),
            agent_name: report.agent_name.clone(),
            ..record
        }));
    Ok(decision)
}

/// Removes an operation. Gives the position.
///
/// # Errors
/// 403, 404; database errors.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str) -> Result<i64, Error> {
    caller.require(Permission::Operations)?;
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let operation: Operation =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            let event = OperationDeleted {
                id: operation.id,
                execution_id: operation.own.execution_id.clone(),
                tenant: operation.tenant_name.clone(),
            };
            let changes = stream(&operation.tenant_name, &operation.own.execution_id);
            let mut decision = Decision::nothing();
            decision.event(changes, Event::OperationDeleted(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(appended.last_position)
}
