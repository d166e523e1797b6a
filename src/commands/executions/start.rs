//! `POST /executions`: decides whether a workflow runs now, later or not at all.
use serde_json::{Map, Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{deployments::Deployment, executions::Execution, scoped},
};
use stratalog_schema::Event;

use super::{
    NewExecution, available, cascade, is_hidden, is_system, objects, of_deployment, parameters,
};
use crate::{
    auth::{Caller, Permission},
    commands::{
        inter_deployment_dependencies::{Disturbance, check_dependents},
        secrets::Opener,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{self, Decision},
};

/// How long others may go on after a failure, where nobody says anything else.
pub(crate) const WAIT_AFTER_FAIL_S: i64 = 600;

/// A workflow to run.
#[derive(Debug, Clone, Default)]
pub struct StartExecution {
    /// The deployment; empty for none.
    pub deployment_id: String,
    /// The workflow.
    pub workflow_id: String,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// Whether undeclared ones may be among them.
    pub allow_custom_parameters: bool,
    /// Pass over conflicts, dependents and availability.
    pub force: bool,
    /// Only pretend to run operations.
    pub dry_run: bool,
    /// Wait instead of being refused when another one runs.
    pub queue: bool,
    /// How long running operations may still end after the first failure; seconds.
    pub wait_after_fail_s: Option<i64>,
    /// What only a restore sets.
    pub restored: Restored,
}

/// Facts about an execution of the past.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Its id.
    pub id: Option<String>,
    /// Stored as it is; nothing is run.
    pub force_status: Option<String>,
    /// Its creator.
    pub created_by: Option<String>,
    /// Moments; milliseconds since the epoch.
    pub created_at_ms: Option<i64>,
    /// Start.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
    /// Its error.
    pub error: Option<String>,
    /// Whether default lists leave it out.
    pub is_system_workflow: Option<bool>,
}

impl Restored {
    fn require(&self, caller: &Caller) -> Result<(), Error> {
        if self
            .created_by
            .as_ref()
            .is_some_and(|name| *name != caller.username)
        {
            caller.require(Permission::SetOwner)?;
        }
        if self.created_at_ms.is_some()
            || self.started_at_ms.is_some()
            || self.ended_at_ms.is_some()
        {
            caller.require(Permission::SetTimestamp)?;
        }
        let details = self.id.is_some()
            || self.force_status.is_some()
            || self.error.is_some()
            || self.is_system_workflow.is_some();
        if details {
            caller.require(Permission::SetExecutionDetails)?;
        }
        Ok(())
    }
}

/// How a start went: a refusal may leave a failed execution behind.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The execution.
    pub id: String,
    /// Why it failed already.
    pub refusal: Option<Error>,
    /// Whether it neither waits nor failed.
    pub begins: bool,
}

/// Creates an execution; the executor sees it in the log and runs it.
///
/// # Errors
/// 403, 404, and the many 400 of executions that cannot be.
pub async fn start(
    ctx: &Context,
    caller: &Caller,
    command: StartExecution,
) -> Result<(String, i64), Error> {
    caller.require(Permission::ExecutionStart)?;
    command.restored.require(caller)?;
    let (appended, outcome) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            prepare(view, Opener { ctx, caller }, &command).await
        })
        .await?;
    match outcome.refusal {
        None => Ok((outcome.id, appended.last_position)),
        Some(error) => Err(error),
    }
}

/// What a start comes to. A cascading workflow begins in the components of the deployment, too.
///
/// # Errors
/// Those of [`start`] that leave nothing behind.
pub(crate) async fn prepare(
    view: &store::View,
    opener: Opener<'_>,
    command: &StartExecution,
) -> Result<(Decision, Prepared), Error> {
    let (mut decision, prepared, is_cascading) = prepare_one(view, opener, command).await?;
    if is_cascading && prepared.begins {
        decision.extend(cascade::begun(view, opener, command).await?);
    }
    Ok((decision, prepared))
}

/// As [`prepare`], but for the components; whether there is anything to be done about them.
pub(super) async fn prepare_one(
    view: &store::View,
    opener: Opener<'_>,
    command: &StartExecution,
) -> Result<(Decision, Prepared, bool), Error> {
    let caller = opener.caller;
    let deployment: Option<Deployment> = match command.deployment_id.as_str() {
        "" => {
            caller.require(Permission::SetExecutionDetails)?;
            None
        }
        id => {
            let row = caller
                .get(view, (View::Deployments, "Deployment"), id)
                .await?;
            let deployment: Deployment = row.resource()?;
            require_here(caller, &deployment)?;
            Some(deployment)
        }
    };
    if let Some(deployment) = &deployment {
        check_environment(view, deployment).await?;
    }
    let spec = workflow(deployment.as_ref(), &command.workflow_id)?;
    let merged = merged(command, spec.as_ref())?;
    if let Some(deployment) = &deployment {
        let given = (spec.as_ref(), &command.parameters);
        objects::check(view, opener, deployment, given).await?;
    }
    let mut new = NewExecution::pending(caller, &command.workflow_id, merged.clone())?;
    if let Some(deployment) = &deployment {
        new = new.of(deployment);
    }
    fill(&mut new, command, spec.is_none());
    if let Some(status) = &command.restored.force_status {
        status.clone_into(&mut new.event_mut().status);
        let (decision, prepared) = created(new)?;
        return Ok((decision, prepared, false));
    }
    let Some(deployment) = &deployment else {
        let (decision, prepared) = queued(view, command, None, new).await?;
        return Ok((decision, prepared, false));
    };
    let checked = checked(view, deployment, command, (spec.as_ref(), &merged)).await;
    let (decision, prepared) = match checked {
        Ok(()) => queued(view, command, Some(deployment), new).await?,
        Err(error @ Error::Refused { .. }) => refused(new, error)?,
        Err(error) => return Err(error),
    };
    Ok((decision, prepared, spec.is_some_and(|spec| cascades(&spec))))
}

/// Workflows run on a global deployment of another tenant only for those who may do that.
fn require_here(caller: &Caller, deployment: &Deployment) -> Result<(), Error> {
    match caller.tenant()? == deployment.tenant_name {
        true => Ok(()),
        false => caller.require(Permission::ExecuteGlobalWorkflow),
    }
}

/// Whether a declared workflow begins in components, too.
pub(super) fn cascades(spec: &Map<String, Value>) -> bool {
    spec.get("is_cascading") == Some(&Value::Bool(true))
}

/// What the environment's own creation says about running anything in it.
pub(super) async fn check_environment(
    view: &store::View,
    deployment: &Deployment,
) -> Result<(), Error> {
    let Some(id) = &deployment.create_execution else {
        return Ok(());
    };
    let creation: Option<Execution> = view.get(&scoped(&deployment.tenant_name, id)).await?;
    let Some(creation) = creation else {
        return Ok(());
    };
    let id = &deployment.id;
    match creation.status.as_str() {
        "terminated" => Ok(()),
        "failed" | "cancelled" => {
            let error = creation.error.unwrap_or_default();
            let last = error.trim_end().lines().last().unwrap_or_default();
            Err(Error::refused(
                ErrorCode::DeploymentCreation,
                format!(
                    "Can't launch executions since environment creation for deployment {id} has \
                     {}: {last}",
                    creation.status
                ),
            ))
        }
        "pending" | "queued" | "scheduled" => Err(Error::refused(
            ErrorCode::EnvironmentCreationPending,
            format!(
                "Deployment environment creation for deployment {id} is still pending, try again \
                 in a minute"
            ),
        )),
        _ => Err(Error::refused(
            ErrorCode::EnvironmentCreationInProgress,
            format!(
                "Deployment environment creation for deployment {id} is still in progress, try \
                 again in a minute"
            ),
        )),
    }
}

/// The declaration of a workflow; nothing for those that need none.
pub(super) fn workflow(
    deployment: Option<&Deployment>,
    workflow_id: &str,
) -> Result<Option<Map<String, Value>>, Error> {
    let declared: Map<String, Value> = match deployment.and_then(|d| d.workflows.as_ref()) {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Map::new(),
    };
    if let Some(Value::Object(spec)) = declared.get(workflow_id) {
        return Ok(Some(spec.clone()));
    }
    if is_system(workflow_id) {
        return Ok(None);
    }
    let id = deployment.map_or("", |deployment| deployment.id.as_str());
    Err(Error::refused(
        ErrorCode::NonexistentWorkflow,
        format!("Workflow {workflow_id} does not exist in the deployment {id}"),
    ))
}

/// Refuses a workflow that a deployment does not have.
///
/// # Errors
/// 400.
pub(crate) fn require_workflow(deployment: &Deployment, workflow_id: &str) -> Result<(), Error> {
    workflow(Some(deployment), workflow_id).map(drop)
}

pub(super) fn merged(
    command: &StartExecution,
    spec: Option<&Map<String, Value>>,
) -> Result<Map<String, Value>, Error> {
    let none = Map::new();
    let declared = spec
        .and_then(|spec| spec.get("parameters")?.as_object())
        .unwrap_or(&none);
    parameters::merge(
        &command.workflow_id,
        declared,
        &command.parameters,
        command.allow_custom_parameters || spec.is_none(),
    )
}

pub(super) fn fill(new: &mut NewExecution, command: &StartExecution, is_system: bool) {
    let restored = &command.restored;
    let event = new.event_mut();
    event.is_dry_run = command.dry_run;
    event.force = command.force;
    event.queue = command.queue;
    event.allow_custom_parameters = command.allow_custom_parameters || is_system;
    event.wait_after_fail_s = command.wait_after_fail_s.unwrap_or(WAIT_AFTER_FAIL_S);
    if let Some(id) = &restored.id {
        event.id.clone_from(id);
    }
    if let (Some(name), Some(scope)) = (&restored.created_by, &mut event.scope) {
        scope.created_by.clone_from(name);
    }
    event.created_at_ms = restored.created_at_ms.unwrap_or(event.created_at_ms);
    event.started_at_ms = restored.started_at_ms;
    event.ended_at_ms = restored.ended_at_ms;
    event.error.clone_from(&restored.error);
    event.is_system_workflow = restored
        .is_system_workflow
        .unwrap_or_else(|| is_hidden(&command.workflow_id));
}

pub(super) async fn checked(
    view: &store::View,
    deployment: &Deployment,
    command: &StartExecution,
    (spec, parameters): (Option<&Map<String, Value>>, &Map<String, Value>),
) -> Result<(), Error> {
    let workflow_id = command.workflow_id.as_str();
    let disturbance = Disturbance::Workflow(workflow_id, parameters);
    check_dependents(view, deployment, (disturbance, command.force)).await?;
    match spec.filter(|_| !command.force) {
        Some(spec) => available::check(view, deployment, (workflow_id, spec)).await,
        None => Ok(()),
    }
}

fn created(new: NewExecution) -> Result<(Decision, Prepared), Error> {
    let id = new.id().to_owned();
    let mut decision = Decision::nothing();
    decision.events.push(new.into_event());
    let prepared = Prepared {
        id,
        refusal: None,
        begins: false,
    };
    Ok((decision, prepared))
}

/// It waits in the queue; why is noted.
pub(super) fn waiting(
    mut new: NewExecution,
    because: &Value,
) -> Result<(Decision, Prepared), Error> {
    new.event_mut().status = "queued".to_owned();
    let tenant = new.tenant().to_owned();
    let (mut decision, prepared) = created(new)?;
    let note = super::noted_of((&tenant, &prepared.id), "queued", because);
    decision.events.push(note);
    Ok((decision, prepared))
}

/// What was refused while it was being prepared stays visible as a failed execution.
pub(super) fn refused(mut new: NewExecution, error: Error) -> Result<(Decision, Prepared), Error> {
    let event = new.event_mut();
    event.status = "failed".to_owned();
    event.error = Some(format!("Error preparing execution: {error}"));
    event.ended_at_ms = Some(event.created_at_ms);
    let (decision, mut prepared) = created(new)?;
    prepared.refusal = Some(error);
    Ok((decision, prepared))
}

/// Pending, queued behind others, or refused because of them.
async fn queued(
    view: &store::View,
    command: &StartExecution,
    deployment: Option<&Deployment>,
    new: NewExecution,
) -> Result<(Decision, Prepared), Error> {
    let mut in_the_way = None;
    match deployment {
        None if is_hidden(&command.workflow_id) && !super::is_harmless(&command.workflow_id) => {
            in_the_way = active_anywhere(view, false).await?;
        }
        None => {}
        Some(deployment) => {
            let other = active_anywhere(view, true).await?;
            // an update of plugins updates deployments itself
            let is_part = |other: &Execution| {
                command.workflow_id == "update" && other.workflow_id == "update_plugin"
            };
            if let Some(other) = other.filter(|other| !is_part(other)) {
                return waiting(new, &json!({"system_workflow": other.id}));
            }
            if !command.force && command.workflow_id != "update" {
                let place = (deployment.tenant_name.as_str(), deployment.id.as_str());
                let mut statuses = super::ACTIVE.to_vec();
                statuses.push("queued");
                let others = of_deployment(view, place, &statuses).await?;
                in_the_way = others.into_iter().next();
            }
        }
    }
    let Some(other) = in_the_way else {
        return rest_on_deployment(view, deployment, new).await;
    };
    if command.queue {
        return waiting(new, &json!({"running": other.id, "status": other.status}));
    }
    Err(Error::refused(
        ErrorCode::ExistingRunningExecution,
        format!(
            "The following executions are currently running for this deployment: {}. To execute \
             this workflow anyway, pass \"force=true\" as a query parameter to this request",
            other.id
        ),
    ))
}

/// Two starts at the same moment must not both find the deployment idle: the deployment's stream
/// decides between them.
pub(super) async fn rest_on_deployment(
    view: &store::View,
    deployment: Option<&Deployment>,
    new: NewExecution,
) -> Result<(Decision, Prepared), Error> {
    let event = deployment.map(|deployment| super::status::latest(deployment, &new));
    let (mut decision, mut outcome) = created(new)?;
    outcome.begins = true;
    if let Some(event) = event {
        let stream = super::status::deployment_stream(&event.tenant, &event.id);
        decision.rests_on(view, stream.clone()).await?;
        decision.event(stream, Event::DeploymentChanged(event));
    }
    Ok((decision, outcome))
}

/// An active execution of the whole manager (queued ones, too), or of anything.
pub(crate) async fn active_anywhere(
    view: &store::View,
    hidden_only: bool,
) -> Result<Option<Execution>, Error> {
    let mut statuses: Vec<String> = super::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    let mut query = ListQuery::all(View::Executions, Scope::Everything);
    if hidden_only {
        statuses.push("queued".to_owned());
        let truth = vec!["true".to_owned()];
        query = query.with(Condition::AnyOf("is_system_workflow".to_owned(), truth));
        let harmless = super::HARMLESS.map(str::to_owned).to_vec();
        query = query.with(Condition::NotAnyOf("workflow_id".to_owned(), harmless));
    }
    query = query.with(Condition::AnyOf("status".to_owned(), statuses));
    query.size = Some(1);
    Ok(view.select_as(&query).await?.pop())
}
