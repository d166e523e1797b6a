//! The status of an execution, and what a change of it means for the deployment.
use stratalog_projections::views::{
    deployments::Deployment,
    executions::{Execution, is_end},
    scoped,
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{DeploymentChanged, ExecutionStatusChanged},
    time::wire,
};

use super::{available, load, parameters_of, stream, telemetry};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        deployments, execution_groups, inter_deployment_dependencies, plugins_updates,
        secrets::Opener,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{self, Decision},
};

const STATUSES: [&str; 10] = [
    "terminated",
    "failed",
    "cancelled",
    "pending",
    "started",
    "cancelling",
    "force_cancelling",
    "kill_cancelling",
    "queued",
    "scheduled",
];

/// The workflow whose end takes the deployment away.
const DELETE_ENVIRONMENT: &str = "delete_deployment_environment";

/// A worker's report: `PATCH /executions/{id}`. Gives the execution as it is then, and the
/// position.
///
/// # Errors
/// 403, 404; 400 for a status that cannot follow.
pub async fn set_status(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (status, error): (&str, Option<&str>),
) -> Result<(Execution, i64), Error> {
    caller.require(Permission::ExecutionStatusUpdate)?;
    if !STATUSES.contains(&status) {
        return Err(Error::bad_parameters(format!(
            "Invalid execution status: {status}. Possible statuses are: {}",
            STATUSES.join(", ")
        )));
    }
    let (appended, execution) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut execution = load(view, caller, id).await?;
            check(&execution, status)?;
            let opener = Opener { ctx, caller };
            let changed = (status, error);
            let decision = reported(view, opener, &mut execution, changed).await?;
            Ok((decision, execution))
        })
        .await?;
    Ok((execution, appended.last_position))
}

/// Whether a reported status may follow.
///
/// # Errors
/// 400.
pub(super) fn check(execution: &Execution, status: &str) -> Result<(), Error> {
    let current = execution.status.as_str();
    let is_allowed = match current {
        _ if current == status => true,
        _ if is_end(current) => execution.workflow_id == "create_snapshot",
        "cancelling" | "force_cancelling" => {
            !super::ACTIVE.contains(&status) && status != "terminated"
        }
        _ => true,
    };
    if is_allowed {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::InvalidExecutionStatusUpdate,
        format!(
            "Invalid relationship - can't change status from {current} to {status} for \"{}\" \
             execution while running \"{}\" workflow.",
            execution.id, execution.workflow_id
        ),
    ))
}

/// As [`status_decision`], for what a workflow reports itself. When it ends, what its deployment
/// depends on is found out anew; where that fails, the execution fails with it.
///
/// # Errors
/// Database errors.
pub(crate) async fn reported(
    view: &store::View,
    opener: Opener<'_>,
    execution: &mut Execution,
    (status, error): (&str, Option<&str>),
) -> Result<Decision, Error> {
    let id = execution.deployment_id.as_deref();
    let Some(id) = id.filter(|_| is_end(status) && execution.workflow_id != DELETE_ENVIRONMENT)
    else {
        return status_decision(view, execution, (status, error)).await;
    };
    let key = scoped(&execution.tenant_name, id);
    let Some(deployment) = view.get::<Deployment>(&key).await? else {
        return status_decision(view, execution, (status, error)).await;
    };
    match inter_deployment_dependencies::found_anew((view, opener), &deployment).await {
        Ok(found) => {
            let mut decision = status_decision(view, execution, (status, error)).await?;
            decision.extend(found);
            Ok(decision)
        }
        Err(refused @ Error::Refused { .. }) => {
            let error = format!("Failed updating dependencies of deployment {id}: {refused}");
            let line = telemetry::log(execution, "error", error.as_str());
            let mut decision = status_decision(view, execution, ("failed", Some(&error))).await?;
            decision.telemetry.push(line);
            Ok(decision)
        }
        Err(other) => Err(other),
    }
}

/// The status change with all it entails; `execution` is as it is after it. It rests on all that
/// has happened to the execution, so of two that saw the same status one is decided anew.
///
/// # Errors
/// Database errors.
pub async fn status_decision(
    view: &store::View,
    execution: &mut Execution,
    (status, error): (&str, Option<&str>),
) -> Result<Decision, Error> {
    let now_ms = clock::now_ms();
    let mut decision = Decision::nothing();
    let tenant = execution.tenant_name.clone();
    let event = ExecutionStatusChanged {
        id: execution.id.clone(),
        tenant: tenant.clone(),
        status: status.to_owned(),
        error: Some(error.unwrap_or_default().to_owned()),
        at_ms: now_ms,
    };
    apply(execution, &event);
    let changes = stream(&tenant, &execution.id);
    decision.rests_on_once(view, changes.clone()).await?;
    decision.event(changes, Event::ExecutionStatusChanged(event));
    execution_groups::execution_changed(view, execution, &mut decision).await?;
    plugins_updates::ended(view, execution, &mut decision).await?;
    let Some(deployment_id) = execution.deployment_id.clone() else {
        return Ok(decision);
    };
    let deployment: Option<Deployment> = view.get(&scoped(&tenant, &deployment_id)).await?;
    let Some(deployment) = deployment else {
        return Ok(decision);
    };
    let changes = deployment_stream(&tenant, &deployment_id);
    if takes_deployment_away(execution)? {
        deployments::deleted(view, &mut decision, (&tenant, &deployment_id)).await?;
    } else if execution.workflow_id != DELETE_ENVIRONMENT {
        let event = effect(view, &deployment, execution, now_ms).await?;
        decision.event(changes, Event::DeploymentChanged(event));
    }
    Ok(decision)
}

/// The same change the view's fold makes.
fn apply(execution: &mut Execution, event: &ExecutionStatusChanged) {
    execution.status.clone_from(&event.status);
    execution.status_display = match event.status.as_str() {
        "terminated" => "completed".to_owned(),
        other => other.to_owned(),
    };
    execution.error.clone_from(&event.error);
    if event.status == "started" {
        execution.started_at = Some(wire(event.at_ms));
    }
    if is_end(&event.status) {
        execution.ended_at = Some(wire(event.at_ms));
    }
}

fn takes_deployment_away(execution: &Execution) -> Result<bool, Error> {
    if execution.workflow_id != DELETE_ENVIRONMENT {
        return Ok(false);
    }
    let is_forced = || -> Result<bool, Error> {
        let parameters = parameters_of(execution)?;
        Ok(parameters.get("force") == Some(&serde_json::Value::Bool(true)))
    };
    Ok(match execution.status.as_str() {
        "terminated" => true,
        "failed" => is_forced()?,
        _ => false,
    })
}

/// The stream of a deployment.
pub(super) fn deployment_stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::Deployment, tenant, id)
}

/// The deployment's latest execution is this one, which has not started yet.
pub(super) fn latest(
    deployment: &Deployment,
    execution: &super::NewExecution,
) -> DeploymentChanged {
    DeploymentChanged {
        id: deployment.id.clone(),
        tenant: deployment.tenant_name.clone(),
        updated_at_ms: clock::now_ms(),
        latest_execution: Some(execution.id().to_owned()),
        latest_execution_status: summary("pending").map(str::to_owned),
        latest_execution_workflow_id: Some(execution.workflow_id().to_owned()),
        latest_execution_total_operations: Some(0),
        latest_execution_finished_operations: Some(0),
        ..DeploymentChanged::default()
    }
}

async fn effect(
    view: &store::View,
    deployment: &Deployment,
    execution: &Execution,
    now_ms: i64,
) -> Result<DeploymentChanged, Error> {
    let states = available::instance_states(view, deployment).await?;
    let is_active = states.iter().all(|state| state == "started");
    let own = match execution.status.as_str() {
        "failed" => "requires_attention",
        status if !is_end(status) => "in_progress",
        _ if is_active => "good",
        _ => "requires_attention",
    };
    Ok(DeploymentChanged {
        id: deployment.id.clone(),
        tenant: deployment.tenant_name.clone(),
        updated_at_ms: now_ms,
        latest_execution: Some(execution.id.clone()),
        latest_execution_status: summary(&execution.status).map(str::to_owned),
        latest_execution_workflow_id: Some(execution.workflow_id.clone()),
        latest_execution_total_operations: Some(execution.total_operations),
        latest_execution_finished_operations: Some(execution.finished_operations),
        installation_status: is_end(&execution.status)
            .then(|| if is_active { "active" } else { "inactive" }.to_owned()),
        deployment_status: Some(own.to_owned()),
        ..DeploymentChanged::default()
    })
}

/// An execution's status as its deployment shows it.
fn summary(status: &str) -> Option<&'static str> {
    Some(match status {
        "terminated" => "completed",
        "failed" => "failed",
        "cancelled" => "cancelled",
        "scheduled" => return None,
        _ => "in_progress",
    })
}
