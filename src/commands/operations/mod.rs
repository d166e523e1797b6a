//! Operations of task graphs: what workers report about them, and what follows from it.
mod claim;
pub mod effects;
mod store;

use serde_json::{Map, Value};
use stratalog_projections::{
    View,
    views::operations::{Operation, is_terminal},
};
use stratalog_schema::{
    Event,
    events::{OperationChange, OperationDeleted, OperationsChanged},
};

pub(crate) use claim::claims;
pub use claim::{claim, parse as parse_claim};
pub(crate) use store::stored_anew;
pub use store::{NewOperation, UpdateStored, add, update_stored};

use super::{
    executions::{self, stream, telemetry::TaskEvent},
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

/// Takes a report: `PATCH /operations/{id}`. Gives the position.
///
/// # Errors
/// 403, 404; database errors.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    report: &UpdateOperation,
) -> Result<i64, Error> {
    caller.require_or_execution(Permission::Operations)?;
    let (appended, ()) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let operation: Operation =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            Ok((decide(view, caller, &operation, report).await?, ()))
        })
        .await?;
    Ok(appended.last_position)
}

async fn decide(
    view: &Reader,
    caller: &Caller,
    operation: &Operation,
    report: &UpdateOperation,
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    if is_terminal(&operation.state) && !is_terminal(&report.state) {
        // a late report about what has ended already
        return Ok(decision);
    }
    let tenant = operation.tenant_name.as_str();
    let execution_id = operation.own.execution_id.as_str();
    let parameters: Value = match &operation.parameters {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Value::Object(Map::new()),
    };
    let event = OperationsChanged {
        execution_id: execution_id.to_owned(),
        tenant: tenant.to_owned(),
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
    let Some(execution) = executions::find(view, tenant, execution_id).await? else {
        return Ok(decision);
    };
    if caller.execution.is_some() {
        let told = TaskEvent {
            name: &operation.name,
            operation_type: &operation.operation_type,
            state: &report.state,
            parameters: &parameters,
            result: &report.result,
            exception: report.exception.as_deref(),
            causes: Some(&report.exception_causes),
        };
        let record = told.record(&execution).map(|mut record| {
            record.manager_name.clone_from(&report.manager_name);
            record.agent_name.clone_from(&report.agent_name);
            record
        });
        decision.telemetry.extend(record);
    }
    if report.state == "succeeded" && operation.state != "succeeded" {
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
