//! Updates as workflows that run elsewhere report them, and as they are brought back from a
//! snapshot.
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use stratalog_projections::views::{
    Json, deployment_updates::DeploymentUpdate, deployments::Deployment, scoped,
};
use stratalog_schema::{
    Event,
    events::{
        DeploymentUpdateChanged, DeploymentUpdateStarted, DeploymentUpdateStep,
        DeploymentUpdateSteps, Scope,
    },
};

use super::{MODEL, Parameters, SUCCESSFUL, UPDATING, finish::touched, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{deployments, executions, labels, own_execution, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// One step somebody reports.
#[derive(Debug, Clone, Deserialize)]
pub struct ReportedStep {
    /// `add`, `remove` or `modify`.
    pub action: String,
    /// The way to the entity; a text with colons in it, or its parts.
    #[serde(deserialize_with = "way")]
    pub entity_id: Vec<String>,
    /// What kind of thing it is.
    pub entity_type: String,
    /// Nodes that others depend on come first.
    #[serde(default)]
    pub topology_order: i64,
}

fn way<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Way {
        Text(String),
        Parts(Vec<String>),
    }
    Ok(match Way::deserialize(deserializer)? {
        Way::Text(text) => text.split(':').map(str::to_owned).collect(),
        Way::Parts(parts) => parts,
    })
}

/// An update as it is, or was. What is absent stays, or is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PutUpdate {
    /// Its id, where the path does not name it.
    pub id: Option<String>,
    /// The deployment.
    pub deployment_id: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// Inputs after it.
    #[serde(alias = "new_inputs")]
    pub inputs: Option<Map<String, Value>>,
    /// Inputs before it.
    pub old_inputs: Option<Map<String, Value>>,
    /// The blueprint after it.
    #[serde(alias = "new_blueprint_id")]
    pub blueprint_id: Option<String>,
    /// The blueprint before it.
    pub old_blueprint_id: Option<String>,
    /// Its start.
    pub created_at: Option<Value>,
    /// Its creator.
    pub created_by: Option<String>,
    /// The execution behind it.
    pub execution_id: Option<String>,
    /// Whether functions are evaluated at run time only.
    pub runtime_only_evaluation: Option<bool>,
    /// The prepared plan.
    pub deployment_plan: Option<Value>,
    /// What it adds, removes and changes.
    pub steps: Option<Vec<ReportedStep>>,
    /// Which instances it adds, extends, reduces and removes.
    pub deployment_update_node_instances: Option<Value>,
    /// Which nodes it adds, removes and changes.
    pub deployment_update_nodes: Option<Value>,
    /// Ids of what changes, by kind.
    pub modified_entity_ids: Option<Value>,
    /// Plugins of the manager that are new.
    pub central_plugins_to_install: Option<Value>,
    /// Plugins of the manager that nothing needs any more.
    pub central_plugins_to_uninstall: Option<Value>,
    /// `private`, `tenant` or `global`.
    pub visibility: Option<String>,
}

/// What a workflow found out about its update.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PatchUpdate {
    /// Its state.
    pub state: Option<String>,
    /// The prepared plan.
    pub plan: Option<Value>,
    /// What it adds, removes and changes.
    pub steps: Option<Vec<ReportedStep>>,
    /// Which nodes it adds, removes and changes.
    pub nodes: Option<Value>,
    /// Which instances it adds, extends, reduces and removes.
    pub node_instances: Option<Value>,
}

/// Stores an update as it is given.
///
/// # Errors
/// 403 unless an execution asks or is named; 404 for an unknown deployment.
pub async fn put(
    ctx: &Context,
    caller: &Caller,
    (id, update): (&str, &PutUpdate),
) -> Result<(), Error> {
    if caller.execution.is_none() && update.execution_id.is_none() {
        return Err(Error::refused(
            ErrorCode::Forbidden,
            "Deployment updates can only be stored by the executions behind them",
        ));
    }
    restore(ctx, caller, &[(id.to_owned(), update.clone())]).await
}

/// Stores updates as they were.
///
/// # Errors
/// 403; 404 for an unknown deployment; 400 for one that names none.
pub async fn restore(
    ctx: &Context,
    caller: &Caller,
    updates: &[(String, PutUpdate)],
) -> Result<(), Error> {
    caller.require(Permission::DeploymentUpdateCreate)?;
    for wanted in updates
        .iter()
        .filter_map(|(_, update)| update.visibility.as_deref())
    {
        visibility::of_new(caller, Some(wanted), None)?;
    }
    if updates
        .iter()
        .any(|(_, update)| update.created_by.is_some())
    {
        caller.require(Permission::SetOwner)?;
    }
    if updates
        .iter()
        .any(|(_, update)| update.created_at.is_some())
    {
        caller.require(Permission::SetTimestamp)?;
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut decision = Decision::nothing();
            for (id, update) in updates {
                stored(view, caller, (id, update), &mut decision).await?;
            }
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn stored(
    view: &View,
    caller: &Caller,
    (id, update): (&str, &PutUpdate),
    decision: &mut Decision,
) -> Result<(), Error> {
    let tenant = caller.tenant()?;
    let known: Option<DeploymentUpdate> = view.get(&scoped(tenant, id)).await?;
    if known
        .as_ref()
        .is_some_and(|known| !caller.may_see(&known.owned_by()))
    {
        return Err(Error::not_found(MODEL.1, id));
    }
    let deployment_id = update.deployment_id.as_deref();
    let deployment_id = deployment_id.or(known.as_ref().map(|known| known.deployment_id.as_str()));
    let Some(deployment_id) = deployment_id else {
        return Err(Error::bad_parameters(
            "Missing deployment_id in json request body",
        ));
    };
    let row = visibility::own(caller, view, deployments::MODEL, deployment_id).await?;
    let started = started(caller, (id, update), (&row.resource()?, known.as_ref()))?;
    decision.rests_on(view, stream(tenant, id)).await?;
    decision.event(stream(tenant, id), Event::DeploymentUpdateStarted(started));
    let text = |given: &Option<Value>, known: Option<&Json>| match given {
        Some(given) => Some(given.to_string()),
        None => known.map(|known| known.get().to_owned()),
    };
    let of = |field: fn(&DeploymentUpdate) -> &Option<Json>| {
        known.as_ref().and_then(|known| field(known).as_ref())
    };
    let before = known.iter().flat_map(|known| &known.steps);
    let before = before.map(|step| DeploymentUpdateStep {
        id: step.id.clone(),
        action: step.action.clone(),
        entity_type: step.entity_type.clone(),
        entity_id: step.entity_id.clone(),
        topology_order: step.topology_order,
    });
    let changed = DeploymentUpdateChanged {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        deployment_plan_json: text(&update.deployment_plan, of(|known| &known.deployment_plan)),
        nodes_json: text(
            &update.deployment_update_nodes,
            of(|known| &known.deployment_update_nodes),
        ),
        node_instances_json: text(
            &update.deployment_update_node_instances,
            of(|known| &known.deployment_update_node_instances),
        ),
        modified_entity_ids_json: text(
            &update.modified_entity_ids,
            of(|known| &known.modified_entity_ids),
        ),
        central_plugins_to_install_json: text(
            &update.central_plugins_to_install,
            of(|known| &known.central_plugins_to_install),
        ),
        central_plugins_to_uninstall_json: text(
            &update.central_plugins_to_uninstall,
            of(|known| &known.central_plugins_to_uninstall),
        ),
        steps: Some(match &update.steps {
            Some(steps) => reported(steps),
            None => DeploymentUpdateSteps {
                steps: before.collect(),
            },
        }),
        ..DeploymentUpdateChanged::default()
    };
    decision.event(stream(tenant, id), Event::DeploymentUpdateChanged(changed));
    Ok(())
}

fn started(
    caller: &Caller,
    (id, update): (&str, &PutUpdate),
    (deployment, known): (&Deployment, Option<&DeploymentUpdate>),
) -> Result<DeploymentUpdateStarted, Error> {
    let created_at_ms = match &update.created_at {
        Some(moment) => labels::moment(moment)?,
        None => known.map(|known| known.own.created_at_ms),
    };
    let own = caller.execution.as_ref().map(|own| own.id.clone());
    let inputs = |given: &Option<Map<String, Value>>, known: Option<&Json>| match given {
        Some(given) => Value::Object(given.clone()).to_string(),
        None => known.map_or_else(|| "null".to_owned(), |known| known.get().to_owned()),
    };
    let kept = |field: fn(&DeploymentUpdate) -> Option<String>| known.and_then(field);
    let creator = update.created_by.clone();
    let creator = creator.or(kept(|known| Some(known.created_by.clone())));
    let visibility = update.visibility.clone();
    let visibility = visibility.or(kept(|known| Some(known.visibility.clone())));
    Ok(DeploymentUpdateStarted {
        id: id.to_owned(),
        scope: Some(Scope {
            tenant: deployment.tenant_name.clone(),
            visibility: visibility.unwrap_or_else(|| deployment.visibility.clone()),
            created_by: creator.unwrap_or_else(|| caller.username.clone()),
        }),
        deployment_id: deployment.id.clone(),
        created_at_ms: created_at_ms.unwrap_or_else(clock::now_ms),
        state: update
            .state
            .clone()
            .or(kept(|known| Some(known.state.clone())))
            .unwrap_or_else(|| UPDATING.to_owned()),
        execution_id: update
            .execution_id
            .clone()
            .or(kept(|known| known.execution_id.clone()))
            .or(own),
        old_blueprint_id: update
            .old_blueprint_id
            .clone()
            .or(kept(|known| known.old_blueprint_id.clone()))
            .or_else(|| Some(deployment.blueprint_id.clone())),
        new_blueprint_id: update
            .blueprint_id
            .clone()
            .or(kept(|known| known.new_blueprint_id.clone())),
        old_inputs_json: inputs(
            &update.old_inputs,
            known.and_then(|known| known.old_inputs.as_ref()),
        ),
        new_inputs_json: inputs(
            &update.inputs,
            known.and_then(|known| known.new_inputs.as_ref()),
        ),
        runtime_only_evaluation: update
            .runtime_only_evaluation
            .or(known.and_then(|known| known.runtime_only_evaluation))
            .or(Some(deployment.runtime_only_evaluation)),
        keep_old_deployment_dependencies: known
            .is_some_and(|known| known.keep_old_deployment_dependencies),
    })
}

fn reported(steps: &[ReportedStep]) -> DeploymentUpdateSteps {
    let step = |step: &ReportedStep| DeploymentUpdateStep {
        id: own_execution::new_id(),
        action: step.action.clone(),
        entity_type: step.entity_type.clone(),
        entity_id: step.entity_id.clone(),
        topology_order: step.topology_order,
    };
    DeploymentUpdateSteps {
        steps: steps.iter().map(step).collect(),
    }
}

/// Notes what a workflow found out about its update.
///
/// # Errors
/// 403, 404.
pub async fn patch(
    ctx: &Context,
    caller: &Caller,
    (id, patch): (&str, &PatchUpdate),
) -> Result<(), Error> {
    caller.require(Permission::DeploymentUpdateUpdate)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let update: DeploymentUpdate =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            let tenant = update.tenant_name.as_str();
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            let text = |given: &Option<Value>| given.as_ref().map(Value::to_string);
            let changed = DeploymentUpdateChanged {
                id: id.to_owned(),
                tenant: tenant.to_owned(),
                state: patch.state.clone(),
                deployment_plan_json: text(&patch.plan),
                nodes_json: text(&patch.nodes),
                node_instances_json: text(&patch.node_instances),
                steps: patch.steps.as_deref().map(reported),
                ..DeploymentUpdateChanged::default()
            };
            decision.event(stream(tenant, id), Event::DeploymentUpdateChanged(changed));
            if patch.state.as_deref() == Some(SUCCESSFUL) && !is_preview(view, &update).await? {
                let of = deployments::stream(tenant, &update.deployment_id);
                decision.event(of, Event::DeploymentChanged(touched(&update)));
            }
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn is_preview(view: &View, update: &DeploymentUpdate) -> Result<bool, Error> {
    let Some(id) = &update.execution_id else {
        return Ok(false);
    };
    let Some(execution) = executions::find(view, &update.tenant_name, id).await? else {
        return Ok(false);
    };
    let parameters = executions::parameters_of(&execution)?;
    Ok(Parameters::new(parameters).is_ok_and(|parameters| parameters.options.preview))
}
