//! The work of `create_deployment_environment`: the plan prepared with the inputs becomes
//! attributes, nodes and node instances, all in one append.
use std::{collections::HashSet, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    At, View as ViewName,
    views::{blueprints::Blueprint, deployments::Deployment, executions::Execution, scoped},
};
use stratalog_schema::{
    Event,
    events::{DeploymentChanged, Labels},
};

use super::{PARENT_LABEL, belonging, load, patch::require_parents, settings::Settings, stream};
use crate::{
    auth::Caller,
    clock,
    commands::{
        blueprints,
        deployment_groups::Defaults,
        executions::telemetry,
        inter_deployment_dependencies,
        labels::{self, Wanted},
        lookups::Lookups,
        node_instances::{self, NewNodeInstance},
        nodes::{self, NewNode},
        schedules,
        secrets::{self, Opener},
    },
    context::Context,
    dsl::{
        self, DslError, Plan,
        planner::{self, PrepareOptions, RandomIds},
    },
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// Parameters of the execution.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameters {
    inputs: Map<String, Value>,
    labels: Value,
    display_name: Option<String>,
}

/// Makes the environment of a deployment on behalf of its execution, unless a former runner or
/// another manager's has made it.
///
/// # Errors
/// `DeploymentCreation` with what the execution fails with; anything else may be tried again.
pub async fn create_environment(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
) -> Result<(), Error> {
    let tenant = execution.tenant_name.as_str();
    let id = execution.deployment_id.as_deref().unwrap_or_default();
    let parameters = execution
        .parameters
        .as_ref()
        .map_or("{}", |json| json.get());
    let parameters: Parameters = serde_json::from_str(parameters).map_err(Error::internal)?;
    let view = ctx.store.read(At::Now).await?;
    if is_made(&view, (tenant, id)).await? {
        drop(view.finish().await?);
        return Ok(());
    }
    let deployment = load(&view, tenant, id).await?;
    let blueprint = blueprint(&view, caller, &deployment).await?;
    let secrets = secrets::existing(&view, caller, tenant).await?;
    let opener = Opener { ctx, caller };
    drop(view.finish().await?);
    let plan = prepare(opener, (&deployment, &blueprint), (&parameters, secrets)).await?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let deployment = load(view, tenant, id).await?;
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream(tenant, id)).await?;
            // another manager may have been faster
            if is_made(view, (tenant, id)).await? {
                return Ok((Decision::nothing(), ()));
            }
            decide(
                view,
                &mut decision,
                Environment {
                    deployment,
                    plan: &plan,
                    parameters: &parameters,
                    execution,
                    opener,
                },
            )
            .await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// All of an environment is made in one append: if there are nodes, somebody has made it.
async fn is_made(view: &Reader, of: (&str, &str)) -> Result<bool, Error> {
    Ok(view.count(&belonging(ViewName::Nodes, of)).await? > 0)
}

/// The blueprint of a deployment, if the caller may see it.
async fn blueprint(
    view: &Reader,
    caller: &Caller,
    deployment: &Deployment,
) -> Result<Blueprint, Error> {
    let caller = caller.in_tenant(&deployment.tenant_name);
    let row = caller
        .get(view, blueprints::MODEL, &deployment.blueprint_id)
        .await?;
    Ok(row.resource()?)
}

/// The plan of the blueprint with the inputs in it, checked against what the manager knows.
async fn prepare(
    opener: Opener<'_>,
    (deployment, blueprint): (&Deployment, &Blueprint),
    (parameters, secrets): (&Parameters, HashSet<String>),
) -> Result<Plan, Error> {
    let options = PrepareOptions {
        inputs: (&parameters.inputs).into(),
        runtime_only_evaluation: deployment.runtime_only_evaluation,
        auto_correct_types: false,
        // ids that are taken are found, and made anew, when the instances are created
        taken_ids: Vec::new(),
    };
    let prepared = prepared(opener, plan_of(blueprint)?, (options, secrets)).await?;
    prepared.map_err(|error| failed(error.to_string()))
}

/// The plan of a blueprint.
pub(crate) fn plan_of(blueprint: &Blueprint) -> Result<Plan, Error> {
    let plan = blueprint.plan.as_ref().map_or("{}", |plan| plan.get());
    let plan: dsl::Map = serde_json::from_str(plan).map_err(Error::internal)?;
    Ok(Plan::new(plan))
}

/// Prepares a plan. What it asks about other objects is looked up on the way; `secrets` are the
/// keys of those there are.
///
/// # Errors
/// Those of [`Lookups::fill`]; within, what is wrong with the plan or the inputs.
pub(crate) async fn prepared(
    opener: Opener<'_>,
    plan: Plan,
    (options, secrets): (PrepareOptions, HashSet<String>),
) -> Result<Result<Plan, DslError>, Error> {
    let options = Arc::new(options);
    let mut lookups = Lookups::new(plan.clone(), secrets);
    loop {
        let (plan, options) = (plan.clone(), Arc::clone(&options));
        let prepared = tokio::task::spawn_blocking(move || {
            let mut ids = RandomIds(rand::rng());
            let prepared = planner::prepare(&plan, &options, &lookups, &mut ids);
            (prepared, lookups)
        });
        let (prepared, asked) = prepared.await.map_err(Error::internal)?;
        lookups = asked;
        if !lookups.fill(opener).await? {
            return Ok(prepared);
        }
    }
}

pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::refused(ErrorCode::DeploymentCreation, message)
}

/// What an environment is made of.
struct Environment<'a> {
    deployment: Deployment,
    plan: &'a Plan,
    parameters: &'a Parameters,
    execution: &'a Execution,
    opener: Opener<'a>,
}

async fn decide(
    view: &Reader,
    decision: &mut Decision,
    environment: Environment<'_>,
) -> Result<(), Error> {
    let Environment {
        mut deployment,
        plan,
        parameters,
        execution,
        opener,
    } = environment;
    let mut wanted = wanted_labels(&deployment, parameters, plan);
    require_parent_capabilities(view, &deployment, &wanted, plan).await?;
    let settings = Settings::of((view, opener), (&deployment, &wanted), plan).await?;
    let caller = opener.caller.in_tenant(&deployment.tenant_name);
    let groups = Defaults::find(view, &caller, &settings.groups()?).await?;
    labels::add(&mut wanted, groups.labels());
    require_parents(view, decision, &deployment, &wanted).await?;
    let new_nodes: Vec<NewNode> = section(plan, "nodes")?;
    let new_instances: Vec<NewNodeInstance> = section(plan, "node_instances")?;
    let name = parameters.display_name.clone();
    let name = name.map_or_else(|| settings.display_name(), |name| Ok(Some(name)))?;
    let by = (clock::now_ms(), deployment.created_by.clone());
    let attached = labels::replaced(&deployment.labels, &wanted, (by.0, &by.1));
    let mut change = attributes(&deployment, plan);
    change.labels = Some(Labels { labels: attached });
    change.display_name = name.filter(|name| *name != deployment.display_name);
    deployment.change(&change)?;
    let lines = [
        "Setting deployment attributes".to_owned(),
        format!("Creating {} nodes", new_nodes.len()),
        format!("Creating {} node-instances", new_instances.len()),
        "Creating deployment work directory".to_owned(),
    ];
    for line in lines {
        decision
            .telemetry
            .push(telemetry::log(execution, "info", line));
    }
    decision.event(
        stream(&deployment.tenant_name, &deployment.id),
        Event::DeploymentChanged(change),
    );
    if !new_nodes.is_empty() {
        nodes::created(decision, &deployment, &new_nodes);
    }
    if !new_instances.is_empty() {
        let created = node_instances::decide_creation(view, &deployment, &new_instances).await?;
        decision.events.extend(created.events);
    }
    decision.extend(groups.join(&deployment.id));
    let schedules = settings.schedules()?;
    decision.extend(schedules::follow(view, &caller, (&deployment, &schedules)).await?);
    inter_deployment_dependencies::replaced_by_plan(view, decision, (&deployment, plan)).await
}

/// A section of the prepared plan, as a list of what it describes.
pub(crate) fn section<T: serde::de::DeserializeOwned + Default>(
    plan: &Plan,
    name: &str,
) -> Result<T, Error> {
    match plan.section(name) {
        None | Some(dsl::Value::Null) => Ok(T::default()),
        Some(value) => serde_json::from_value(value.into()).map_err(Error::internal),
    }
}

/// What was asked for, then what the plan says; nothing twice.
fn wanted_labels(deployment: &Deployment, parameters: &Parameters, plan: &Plan) -> Vec<Wanted> {
    let asked = labels::parse(&parameters.labels).unwrap_or_default();
    let planned = labels::of_plan(plan.object("labels"));
    labels::joined(&deployment.labels, asked.into_iter().chain(planned))
}

/// What a deployment has from its prepared plan.
pub(crate) fn attributes(deployment: &Deployment, plan: &Plan) -> DeploymentChanged {
    let text = |name: &str| plan.section(name).map(dsl::Value::to_string);
    DeploymentChanged {
        id: deployment.id.clone(),
        tenant: deployment.tenant_name.clone(),
        // the times clients see do not move with it
        updated_at_ms: deployment.own.updated_at_ms,
        description: plan
            .section("description")
            .and_then(dsl::Value::as_str)
            .map(str::to_owned),
        inputs_json: text("inputs"),
        groups_json: text("groups"),
        policy_triggers_json: text("policy_triggers"),
        policy_types_json: text("policy_types"),
        outputs_json: text("outputs"),
        capabilities_json: text("capabilities"),
        scaling_groups_json: text("scaling_groups"),
        workflows_json: text("workflows"),
        resource_tags_json: text("resource_tags"),
        ..DeploymentChanged::default()
    }
}

/// What the blueprint takes from its environment must be there.
pub(crate) async fn require_parent_capabilities(
    view: &Reader,
    deployment: &Deployment,
    wanted: &[Wanted],
    plan: &Plan,
) -> Result<(), Error> {
    let requirements = plan.object("requirements");
    let needed: Vec<String> = requirements
        .and_then(|requirements| requirements.get("parent_capabilities")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|path| match path {
            dsl::Value::Array(path) => path.first()?.as_str().map(str::to_owned),
            dsl::Value::String(name) => Some(name.as_ref().to_owned()),
            _ => None,
        })
        .collect();
    if needed.is_empty() {
        return Ok(());
    }
    let parent = wanted.iter().find(|label| label.key == PARENT_LABEL);
    let parent: Option<Deployment> = match parent {
        Some(label) => {
            view.get(&scoped(&deployment.tenant_name, &label.value))
                .await?
        }
        None => None,
    };
    let Some(parent) = parent else {
        return Err(failed(format!(
            "Environment not found, but environment capabilities are required: {}",
            needed.join(", ")
        )));
    };
    let offered = parent.capabilities.as_ref().map_or("{}", |json| json.get());
    let offered: Map<String, Value> = serde_json::from_str(offered).map_err(Error::internal)?;
    let lacking: Vec<String> = needed
        .into_iter()
        .filter(|name| !offered.contains_key(name))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(failed(format!(
        "Environment {} ({}) does not have the required capabilities: {}",
        parent.display_name,
        parent.id,
        lacking.join(", ")
    )))
}
