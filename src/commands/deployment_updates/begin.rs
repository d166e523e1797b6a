//! The beginning of an update: the plan is prepared and compared with what there is; attributes,
//! nodes and instances follow it in one append. What is to go stays until the end.
use std::collections::HashSet;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    At,
    views::{
        blueprints::Blueprint, deployment_updates::DeploymentUpdate, executions::Execution,
        nodes::Node,
    },
};
use stratalog_schema::{
    Event,
    events::{
        DeploymentUpdateChanged, DeploymentUpdateStep, DeploymentUpdateSteps, Labels,
        TelemetryRecord,
    },
};

use super::{EXECUTING, Parameters, SUCCESSFUL, differences::NodeDifferences, load, stream};
use crate::{
    auth::Caller,
    clock,
    commands::{
        blueprints, deployments,
        executions::telemetry,
        inter_deployment_dependencies::{dependents_of, replaced_by_plan},
        json::object,
        labels::{self, Wanted},
        modifications::{Whole, added, documents, extend, modified},
        node_instances, nodes, own_execution, schedules,
        secrets::{self, Opener},
    },
    context::Context,
    dsl::{
        self, Plan,
        planner::{Change, Modification, PrepareOptions, UpdateStep, update_steps},
    },
    error::{Error, ErrorCode},
    log::read,
    store::{Decision, View},
};

/// Steps of the preparation, as clients of the reference read of them.
const PREPARED: [&str; 4] = [
    "prepare_plan",
    "create_steps",
    "prepare_update_nodes",
    "prepare_plugin_changes",
];
/// Steps of the change.
const PERFORMED: [&str; 4] = [
    "set_deployment_attributes",
    "update_inter_deployment_dependencies",
    "update_deployment_nodes",
    "update_deployment_node_instances",
];

/// Prepares an update and makes the deployment follow it; a preview only says what would be.
///
/// # Errors
/// 400 for inputs or changes that cannot be, 404; `Unavailable` when the deployment changed
/// meanwhile.
pub async fn begin(
    ctx: &Context,
    caller: &Caller,
    execution: &Execution,
    parameters: &Parameters,
) -> Result<(), Error> {
    let opener = Opener { ctx, caller };
    let (plan, version) = prepared(opener, execution, parameters).await?;
    let tenant = execution.tenant_name.as_str();
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let update = load(view, tenant, &parameters.update_id).await?;
            let mut decision = Decision::nothing();
            if update.is_prepared() {
                return Ok((decision, ()));
            }
            decision.rests_on(view, stream(tenant, &update.id)).await?;
            let of = deployments::stream(tenant, &update.deployment_id);
            if read::stream_version(view, &of).await? != version {
                return Err(Error::Unavailable(
                    "the deployment was changed meanwhile".to_owned(),
                ));
            }
            decision.rests_on(view, of).await?;
            let deployment = deployments::load(view, tenant, &update.deployment_id).await?;
            let beginning = Beginning {
                whole: Whole::read(view, deployment).await?,
                update: &update,
                plan: &plan,
                execution,
                parameters,
            };
            beginning.decide((view, opener), &mut decision).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// The plan of the blueprint with the new inputs and the present numbers of instances, and the
/// version of the deployment that these are from.
async fn prepared(
    opener: Opener<'_>,
    execution: &Execution,
    parameters: &Parameters,
) -> Result<(Plan, i64), Error> {
    let tenant = execution.tenant_name.as_str();
    let view = opener.ctx.store.read(At::Now).await?;
    let update = load(&view, tenant, &parameters.update_id).await?;
    let of = deployments::stream(tenant, &update.deployment_id);
    let version = read::stream_version(&view, &of).await?;
    let deployment = deployments::load(&view, tenant, &update.deployment_id).await?;
    let whole = Whole::read(&view, deployment).await?;
    let caller = opener.caller.in_tenant(tenant);
    let row = caller
        .get(&view, blueprints::MODEL, &parameters.blueprint_id)
        .await?;
    let blueprint: Blueprint = row.resource()?;
    let secrets: HashSet<String> = secrets::existing(&view, opener.caller, tenant).await?;
    drop(view.finish().await?);
    let mut plan = deployments::plan_of(&blueprint)?;
    keep_counts(&mut plan, &whole)?;
    let declared = plan.object("inputs");
    let mut inputs = object(update.new_inputs.as_ref())?;
    inputs.retain(|name, _| declared.is_some_and(|declared| declared.contains_key(name)));
    let options = PrepareOptions {
        inputs: (&inputs).into(),
        runtime_only_evaluation: parameters.options.runtime_only_evaluation,
        auto_correct_types: parameters.options.auto_correct_types,
        // ids that are taken are found when the instances are worked out
        taken_ids: Vec::new(),
    };
    let prepared = deployments::prepared(opener, plan, (options, secrets)).await?;
    let plan = prepared.map_err(|error| refused(error.to_string()))?;
    Ok((plan, version))
}

/// Nodes and groups that are there keep the numbers of their instances, unless the blueprint says
/// how many are to be deployed.
fn keep_counts(plan: &mut Plan, whole: &Whole) -> Result<(), Error> {
    for node in plan.nodes_mut() {
        let id = node.get("id").and_then(dsl::Value::as_str);
        let Some(known) = whole
            .nodes
            .iter()
            .find(|known| Some(known.id.as_str()) == id)
        else {
            continue;
        };
        let deploy = node.get("instances");
        let deploy = deploy.and_then(|instances| instances.get("deploy")?.as_i64());
        let planned = deploy.unwrap_or(known.planned_number_of_instances);
        set_counts(
            node.get_mut("capabilities")
                .and_then(|capabilities| capabilities.get_mut("scalable")),
            (known.number_of_instances, planned),
        );
    }
    let groups = whole.scaling_groups()?;
    let Some(planned) = plan.section_mut("scaling_groups") else {
        return Ok(());
    };
    for (name, group) in &groups {
        let count = |key: &str| group.get("properties")?.get(key)?.as_i64();
        if let (Some(current), Some(wanted)) =
            (count("current_instances"), count("planned_instances"))
        {
            set_counts(planned.get_mut(name.as_str()), (current, wanted));
        }
    }
    Ok(())
}

fn set_counts(scalable: Option<&mut dsl::Value>, (current, planned): (i64, i64)) {
    let properties = scalable.and_then(|scalable| scalable.get_mut("properties"));
    if let Some(properties) = properties.and_then(dsl::Value::as_object_mut) {
        properties.insert("current_instances", current.into());
        properties.insert("planned_instances", planned.into());
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::refused(ErrorCode::BadParameters, message)
}

/// An update that begins.
struct Beginning<'a> {
    whole: Whole,
    update: &'a DeploymentUpdate,
    plan: &'a Plan,
    execution: &'a Execution,
    parameters: &'a Parameters,
}

impl Beginning<'_> {
    async fn decide(
        &self,
        (view, opener): (&View, Opener<'_>),
        decision: &mut Decision,
    ) -> Result<(), Error> {
        let whole = &self.whole;
        let (nodes, instances) = (documents(&whole.nodes)?, documents(&whole.instances)?);
        let old = self.old_plan(&nodes)?;
        let steps = update_steps(&old, self.plan).map_err(|error| refused(error.to_string()))?;
        require_supported(&steps)?;
        let new: Vec<nodes::NewNode> = deployments::section(self.plan, "nodes")?;
        let differences = NodeDifferences::new(&whole.deployment, &whole.nodes, new)?;
        let modification = self.modification(view, (old.nodes(), &instances)).await?;
        let wanted = self.wanted_labels();
        let schedules = self.schedules((view, opener), &wanted).await?;
        let mut change = self.described((&steps, &differences), &modification)?;
        self.tell(decision, &PREPARED);
        if self.parameters.options.preview {
            change.state = Some(SUCCESSFUL.to_owned());
            let gained = self.gained_labels(&wanted);
            change.labels_to_create_json = Some(Value::from(gained).to_string());
            change.schedules_to_create_json = Some(Value::from(schedules).to_string());
            change.schedules_to_delete_json = Some("[]".to_owned());
            let of = (
                whole.deployment.tenant_name.as_str(),
                whole.deployment.id.as_str(),
            );
            let dependents = dependents_of(view, of).await?;
            change.recursive_dependencies_json = Some(Value::from(dependents).to_string());
        } else {
            let deployment = &whole.deployment;
            let gained = wanted.get(deployment.labels.len()..).unwrap_or_default();
            deployments::require_parents(view, decision, deployment, gained).await?;
            deployments::require_parent_capabilities(view, deployment, &wanted, self.plan).await?;
            self.perform(view, decision, (differences, &modification, &wanted))
                .await?;
            replaced_by_plan(view, decision, (deployment, self.plan)).await?;
            self.tell(decision, &PERFORMED);
        }
        let of = stream(&self.update.tenant_name, &self.update.id);
        decision.event(of, Event::DeploymentUpdateChanged(change));
        Ok(())
    }

    /// The schedules the plan gives the deployment in the end, which must be such that it can.
    async fn schedules(
        &self,
        (view, opener): (&View, Opener<'_>),
        wanted: &[Wanted],
    ) -> Result<Vec<Value>, Error> {
        let mut deployment = self.whole.deployment.clone();
        deployment.change(&deployments::attributes(&deployment, self.plan))?;
        let settings =
            deployments::Settings::of((view, opener), (&deployment, wanted), self.plan).await?;
        let planned = settings.schedules()?;
        schedules::follow(view, opener.caller, (&deployment, &planned)).await?;
        Ok(planned.iter().map(|(id, one)| one.described(id)).collect())
    }

    /// What there is, in the form of a plan.
    fn old_plan(&self, nodes: &[Value]) -> Result<Plan, Error> {
        let deployment = &self.whole.deployment;
        let mut plan = Plan::new(dsl::Map::new());
        let nodes: Vec<dsl::Value> = nodes.iter().map(Into::into).collect();
        plan.set("nodes", dsl::Value::from(nodes));
        for (name, stored) in [
            ("outputs", &deployment.outputs),
            ("workflows", &deployment.workflows),
            ("groups", &deployment.groups),
        ] {
            let stored = Value::Object(object(stored.as_ref())?);
            plan.set(name, (&stored).into());
        }
        if let Some(description) = &deployment.description {
            plan.set("description", description.as_str().into());
        }
        Ok(plan)
    }

    async fn modification(
        &self,
        view: &View,
        (old_nodes, instances): (&[dsl::Value], &[Value]),
    ) -> Result<Modification, Error> {
        let previous: Vec<dsl::Value> = instances.iter().map(Into::into).collect();
        let none = dsl::Map::new();
        let change = Change {
            nodes: self.plan.nodes(),
            previous_nodes: old_nodes,
            previous_node_instances: &previous,
            modified_nodes: &resized(self.plan, &self.whole.nodes),
            scaling_groups: self.plan.object("scaling_groups").unwrap_or(&none),
        };
        let tenant = &self.whole.deployment.tenant_name;
        modified(view, tenant, &change)
            .await?
            .map_err(|error| refused(error.to_string()))
    }

    /// Labels there are, then those of the plan that are new.
    fn wanted_labels(&self) -> Vec<Wanted> {
        let planned = labels::of_plan(self.plan.object("labels"));
        labels::joined(&self.whole.deployment.labels, planned)
    }

    fn gained_labels(&self, wanted: &[Wanted]) -> Vec<Value> {
        let known = self.whole.deployment.labels.len();
        let gained = wanted.iter().skip(known);
        gained
            .map(|label| {
                let mut one = Map::new();
                one.insert(label.key.clone(), label.value.as_str().into());
                Value::Object(one)
            })
            .collect()
    }

    fn described(
        &self,
        (steps, differences): (&[UpdateStep], &NodeDifferences),
        modification: &Modification,
    ) -> Result<DeploymentUpdateChanged, Error> {
        let mut instances = serde_json::to_value(modification).map_err(Error::internal)?;
        instances["relationships_changed"] = json!(reordered(steps));
        Ok(DeploymentUpdateChanged {
            id: self.update.id.clone(),
            tenant: self.update.tenant_name.clone(),
            state: Some(EXECUTING.to_owned()),
            deployment_plan_json: Some(Value::from(self.plan.clone()).to_string()),
            nodes_json: Some(differences.described().to_string()),
            node_instances_json: Some(instances.to_string()),
            steps: Some(DeploymentUpdateSteps {
                steps: steps.iter().map(stored).collect::<Result<_, _>>()?,
            }),
            ..DeploymentUpdateChanged::default()
        })
    }

    /// The deployment follows its new plan, but keeps what is still to be taken down.
    async fn perform(
        &self,
        view: &View,
        decision: &mut Decision,
        (differences, modification, wanted): (NodeDifferences, &Modification, &[Wanted]),
    ) -> Result<(), Error> {
        let whole = &self.whole;
        for instance in &whole.instances {
            whole.rest_on(decision, instance);
        }
        let mut deployment = whole.deployment.clone();
        let by = (clock::now_ms(), deployment.created_by.clone());
        let mut change = deployments::attributes(&deployment, self.plan);
        if change.description.is_none() && deployment.description.is_some() {
            change.description = Some(String::new());
        }
        change.scaling_groups_json = Some(reached(self.plan)?.to_string());
        change.blueprint_id = Some(self.parameters.blueprint_id.clone());
        change.runtime_only_evaluation = Some(self.parameters.options.runtime_only_evaluation);
        change.labels = Some(Labels {
            labels: labels::replaced(&deployment.labels, wanted, (by.0, &by.1)),
        });
        deployment
            .blueprint_id
            .clone_from(&self.parameters.blueprint_id);
        let of = deployments::stream(&deployment.tenant_name, &deployment.id);
        decision.event(of.clone(), Event::DeploymentChanged(change));
        for node in differences.changes {
            decision.event(of.clone(), Event::NodeChanged(node));
        }
        if !differences.added.is_empty() {
            nodes::created(decision, &deployment, &differences.added);
        }
        let plain = |part: &[dsl::Value]| -> Vec<Value> { part.iter().map(Into::into).collect() };
        let new = added(&plain(&modification.added_and_related))?;
        if !new.is_empty() {
            let created = node_instances::decide_creation(view, &deployment, &new).await?;
            decision.events.extend(created.events);
        }
        extend(decision, whole, &plain(&modification.extended_and_related))
    }

    fn tell(&self, decision: &mut Decision, tasks: &[&str]) {
        decision.telemetry.extend(told(self.execution, tasks));
    }
}

/// That tasks inside the server began and succeeded.
pub(super) fn told(execution: &Execution, tasks: &[&str]) -> Vec<TelemetryRecord> {
    let line = |kind: &str, verb: &str, task: &str| {
        telemetry::event(execution, kind, format!("Task {verb} '{task}'"))
    };
    tasks
        .iter()
        .flat_map(|task| {
            [
                line("task_started", "started", task),
                line("task_succeeded", "succeeded", task),
            ]
        })
        .collect()
}

fn require_supported(steps: &[UpdateStep]) -> Result<(), Error> {
    let refused_steps: Vec<String> = steps
        .iter()
        .filter(|step| !step.is_supported)
        .map(|step| step.entity_id.join(":"))
        .collect();
    if refused_steps.is_empty() {
        return Ok(());
    }
    Err(refused(format!(
        "Cannot update: unsupported steps found: {}. Types of nodes, what they are contained in, \
         properties of relationships, and groups cannot be changed",
        refused_steps.join(", ")
    )))
}

/// Nodes that get another number of instances than they have.
fn resized(plan: &Plan, before: &[Node]) -> dsl::Map {
    let mut resized = dsl::Map::new();
    for node in before {
        let planned = plan.node(&node.id).and_then(|node| {
            let scalable = node.get("capabilities")?.get("scalable")?;
            scalable
                .get("properties")?
                .get("planned_instances")?
                .as_i64()
        });
        if let Some(planned) = planned.filter(|planned| *planned != node.number_of_instances) {
            let mut wanted = dsl::Map::new();
            wanted.insert("instances", planned.into());
            resized.insert(node.id.as_str(), dsl::Value::Object(wanted));
        }
    }
    resized
}

/// The scaling groups of a plan once all instances are there that it plans.
fn reached(plan: &Plan) -> Result<Value, Error> {
    let groups = plan.section("scaling_groups");
    let mut groups: Value = groups.map_or_else(|| json!({}), Into::into);
    for group in groups.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(Value::Object(properties)) = group.get_mut("properties") else {
            continue;
        };
        if let Some(planned) = properties.get("planned_instances").cloned() {
            properties.insert("current_instances".to_owned(), planned);
        }
    }
    Ok(groups)
}

/// Nodes whose relationships change places.
fn reordered(steps: &[UpdateStep]) -> Vec<&str> {
    let is_move =
        |step: &&UpdateStep| step.entity_id.len() == 5 && step.entity_id[2] == "relationships";
    let mut nodes: Vec<&str> = steps
        .iter()
        .filter(is_move)
        .filter(|step| step.entity_id[4].starts_with('['))
        .map(|step| step.entity_id[1].as_str())
        .collect();
    nodes.dedup();
    nodes
}

fn stored(step: &UpdateStep) -> Result<DeploymentUpdateStep, Error> {
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let text = |value: serde_json::Result<Value>| value.map(word).map_err(Error::internal);
    Ok(DeploymentUpdateStep {
        id: own_execution::new_id(),
        action: text(serde_json::to_value(step.action))?,
        entity_type: text(serde_json::to_value(step.entity_type))?,
        entity_id: step.entity_id.clone(),
        topology_order: i64::try_from(step.topology_order).unwrap_or(i64::MAX),
    })
}
