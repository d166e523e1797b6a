//! The start of an update: its record and the execution that does it, in one append.
use serde_json::{Map, Value};
use stratalog_projections::views::{
    blueprints::Blueprint, deployment_updates::DeploymentUpdate, deployments::Deployment,
    executions::Execution, scoped,
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{DeploymentUpdateStarted, ExecutionsGrouped, Scope},
};
use uuid::Uuid;

use super::{FAILED, Options, Parameters, UPDATING, active, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints, deployments,
        executions::{self, StartExecution},
        json::object,
        modifications, own_execution,
        secrets::Opener,
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// The workflow behind an update.
const WORKFLOW: &str = "update";
/// The workflow that starts an update of its own deployment.
const STARTER: &str = "csys_update_deployment";

/// An update somebody asks for.
#[derive(Debug, Clone, Default)]
pub struct Initiate {
    /// The blueprint after it; the present one when absent.
    pub blueprint_id: Option<String>,
    /// Inputs that are given other values.
    pub inputs: Map<String, Value>,
    /// Whether functions are evaluated at run time only; as before when absent.
    pub runtime_only_evaluation: Option<bool>,
    /// How it is to go.
    pub options: Options,
}

/// An update that was started.
#[derive(Debug)]
pub struct Initiated {
    /// Its id.
    pub id: String,
    /// The execution that does it.
    pub execution: String,
    /// Position of the log after it.
    pub position: i64,
}

/// Starts an update of a deployment.
///
/// # Errors
/// 403, 404; 400 `dependent_exists_error` (which leaves a failed update behind), 400 while a
/// modification of the deployment goes on or for a blueprint that is not uploaded; 409 while
/// another update goes on.
pub async fn initiate(
    ctx: &Context,
    caller: &Caller,
    deployment_id: &str,
    new: &Initiate,
) -> Result<Initiated, Error> {
    caller.require(Permission::DeploymentUpdateCreate)?;
    let id = format!("{deployment_id}-{}", own_execution::new_id());
    initiate_as(ctx, caller, (deployment_id, &id), new).await
}

async fn initiate_as(
    ctx: &Context,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
    new: &Initiate,
) -> Result<Initiated, Error> {
    let (appended, (execution, refusal)) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = visibility::own(caller, view, deployments::MODEL, deployment_id).await?;
            decide(view, Opener { ctx, caller }, (id, &row.resource()?), new).await
        })
        .await?;
    match refusal {
        Some(error) => Err(error),
        None => Ok(Initiated {
            id: id.to_owned(),
            execution,
            position: appended.last_position,
        }),
    }
}

async fn decide(
    view: &View,
    opener: Opener<'_>,
    (id, deployment): (&str, &Deployment),
    new: &Initiate,
) -> Result<(Decision, (String, Option<Error>)), Error> {
    let caller = opener.caller;
    let known: Option<DeploymentUpdate> = view.get(&scoped(&deployment.tenant_name, id)).await?;
    if let Some(known) = known {
        let execution = known.execution_id.unwrap_or_default();
        return Ok((Decision::nothing(), (execution, None)));
    }
    let mut options = new.options.clone();
    options.runtime_only_evaluation = new
        .runtime_only_evaluation
        .unwrap_or(deployment.runtime_only_evaluation);
    let wanted = new.blueprint_id.as_deref();
    let blueprint_id = wanted.unwrap_or(&deployment.blueprint_id);
    require_uploaded(view, caller, blueprint_id).await?;
    require_idle(view, deployment, &options).await?;
    let parameters = Parameters {
        update_id: id.to_owned(),
        blueprint_id: blueprint_id.to_owned(),
        inputs: new.inputs.clone(),
        options,
    };
    let command = StartExecution {
        deployment_id: deployment.id.clone(),
        workflow_id: WORKFLOW.to_owned(),
        parameters: parameters.to_map()?,
        allow_custom_parameters: true,
        force: parameters.options.force,
        ..StartExecution::default()
    };
    let caller = &caller.in_tenant(&deployment.tenant_name);
    let (mut decision, prepared) =
        executions::prepare(view, Opener { caller, ..opener }, &command).await?;
    let of = deployments::stream(&deployment.tenant_name, &deployment.id);
    if decision.expected.iter().all(|(known, _)| *known != of) {
        decision.rests_on(view, of).await?;
    }
    let old_inputs = object(deployment.inputs.as_ref())?;
    let mut new_inputs = old_inputs.clone();
    new_inputs.extend(new.inputs.clone());
    let state = match prepared.refusal {
        Some(_) => FAILED,
        None => UPDATING,
    };
    let event = DeploymentUpdateStarted {
        id: id.to_owned(),
        scope: Some(Scope {
            tenant: deployment.tenant_name.clone(),
            visibility: deployment.visibility.clone(),
            created_by: caller.username.clone(),
        }),
        deployment_id: deployment.id.clone(),
        created_at_ms: clock::now_ms(),
        state: state.to_owned(),
        execution_id: Some(prepared.id.clone()),
        old_blueprint_id: Some(deployment.blueprint_id.clone()),
        new_blueprint_id: Some(blueprint_id.to_owned()),
        old_inputs_json: Value::Object(old_inputs).to_string(),
        new_inputs_json: Value::Object(new_inputs).to_string(),
        runtime_only_evaluation: Some(parameters.options.runtime_only_evaluation),
        keep_old_deployment_dependencies: false,
    };
    decision.event(
        stream(&deployment.tenant_name, id),
        Event::DeploymentUpdateStarted(event),
    );
    join_group(view, caller, &mut decision, &prepared.id).await?;
    Ok((decision, (prepared.id, prepared.refusal)))
}

async fn require_uploaded(view: &View, caller: &Caller, id: &str) -> Result<(), Error> {
    let row = caller.get(view, blueprints::MODEL, id).await?;
    let blueprint: Blueprint = row.resource()?;
    if blueprint.state == "uploaded" {
        return Ok(());
    }
    Err(Error::bad_parameters(format!(
        "Unable to update a deployment to the blueprint {id} which is not `uploaded` but: `{}`",
        blueprint.state
    )))
}

/// Two changes of what a deployment consists of would undo each other.
async fn require_idle(
    view: &View,
    deployment: &Deployment,
    options: &Options,
) -> Result<(), Error> {
    let ids = |ids: Vec<String>| ids.join(", ");
    let others = modifications::started(view, deployment).await?;
    if !others.is_empty() {
        return Err(Error::refused(
            ErrorCode::ExistingStartedDeploymentModification,
            format!(
                "Cannot update deployment {} while modifications of it go on: {}",
                deployment.id,
                ids(others.into_iter().map(|other| other.id).collect())
            ),
        ));
    }
    let others = active(view, (&deployment.tenant_name, &deployment.id)).await?;
    if others.is_empty() || options.force {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Conflict,
        format!(
            "There are deployment updates still active; update IDs: {}",
            ids(others.into_iter().map(|other| other.id).collect())
        ),
    ))
}

/// What is started for a member of a group of executions belongs to the group.
async fn join_group(
    view: &View,
    caller: &Caller,
    decision: &mut Decision,
    execution: &str,
) -> Result<(), Error> {
    let own = own_execution::load(view, caller).await?;
    let Some(own) = own.filter(|own| own.workflow_id == STARTER) else {
        return Ok(());
    };
    let Some(group) = own.own.execution_group_id else {
        return Ok(());
    };
    let of = StreamId::scoped(Category::ExecutionGroup, &own.tenant_name, &group);
    let event = ExecutionsGrouped {
        id: group,
        tenant: own.tenant_name,
        execution_ids: vec![execution.to_owned()],
    };
    decision.event(of, Event::ExecutionsGrouped(event));
    Ok(())
}

/// Starts the update that an execution of `csys_update_deployment` asks for, of its own deployment.
///
/// # Errors
/// As [`initiate`].
pub(crate) async fn initiate_own(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<Initiated, Error> {
    let parameters = executions::parameters_of(execution)?;
    let is_set = |name: &str| parameters.get(name).is_some_and(|value| !value.is_null());
    let runtime_only = is_set("runtime_only_evaluation");
    let has_blueprint = is_set("blueprint_id");
    let given: Map<String, Value> = parameters
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    let Parameters {
        blueprint_id,
        inputs,
        options,
        ..
    } = Parameters::new(given)?;
    let new = Initiate {
        blueprint_id: has_blueprint.then_some(blueprint_id),
        inputs,
        runtime_only_evaluation: runtime_only.then_some(options.runtime_only_evaluation),
        options,
    };
    let deployment_id = execution.deployment_id.as_deref().unwrap_or_default();
    initiate_for(ctx, caller, (execution, deployment_id), &new).await
}

/// Starts an update on behalf of an execution. Whoever runs it, it starts one for a deployment.
///
/// # Errors
/// As [`initiate`].
pub(crate) async fn initiate_for(
    ctx: &Context,
    caller: &Caller,
    (execution, deployment_id): (&Execution, &str),
    new: &Initiate,
) -> Result<Initiated, Error> {
    let tenant = caller.tenant()?;
    let name = format!("stratalog:update:{}:{tenant}:{deployment_id}", execution.id);
    let suffix = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let id = format!("{deployment_id}-{suffix}");
    initiate_as(ctx, caller, (deployment_id, &id), new).await
}
