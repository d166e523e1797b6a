//! Changes of a deployment by hand, and by workflows that make environments elsewhere.
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use stratalog_projections::views::{
    Label, deployments::Deployment, executions::Execution,
    inter_deployment_dependencies::CONSUMER_LABEL, scoped,
};
use stratalog_schema::{
    Event,
    events::{DeploymentChanged, Labels},
};

use super::{MODEL, PARENT_LABEL, delete::require_staying, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints, inter_deployment_dependencies,
        labels::{self, Wanted},
        own_execution, visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// What is to change. What is absent stays; attributes can be set only once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PatchDeployment {
    /// From its blueprint.
    pub description: Option<String>,
    /// Name to specification.
    pub workflows: Option<Map<String, Value>>,
    /// Input values.
    pub inputs: Option<Map<String, Value>>,
    /// From its plan.
    pub policy_types: Option<Map<String, Value>>,
    /// From its plan.
    pub policy_triggers: Option<Map<String, Value>>,
    /// From its plan.
    pub groups: Option<Map<String, Value>>,
    /// From its plan.
    pub scaling_groups: Option<Map<String, Value>>,
    /// From its plan.
    pub outputs: Option<Map<String, Value>>,
    /// From its plan.
    pub capabilities: Option<Map<String, Value>>,
    /// From its plan.
    pub resource_tags: Option<Map<String, Value>>,
    /// Name for people.
    pub display_name: Option<String>,
    /// Leave every function to be evaluated at run time.
    pub runtime_only_evaluation: Option<bool>,
    /// The execution that made it.
    pub create_execution: Option<String>,
    /// Its latest execution.
    pub latest_execution: Option<String>,
    /// Another blueprint; for deployment updates only.
    pub blueprint_id: Option<String>,
    /// The whole new set of labels.
    #[serde(deserialize_with = "given")]
    pub labels: Option<Value>,
    /// Another creator.
    pub creator: Option<String>,
    /// Another creation time.
    pub created_at: Option<String>,
    /// Whatever else was given.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.filter(|value| !value.is_null()))
}

/// Changes a deployment.
///
/// # Errors
/// 400, 403, 404; 409 for an attribute that is set already.
pub async fn patch(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    patch: &PatchDeployment,
) -> Result<(), Error> {
    caller.require(Permission::DeploymentUpdate)?;
    if !patch.unknown.is_empty() {
        let names: Vec<&str> = patch.unknown.keys().map(String::as_str).collect();
        return Err(Error::bad_parameters(format!(
            "Unknown parameters: {}",
            names.join(", ")
        )));
    }
    if patch.creator.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    if patch.created_at.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    let wanted = patch.labels.as_ref().map(labels::parse).transpose()?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let deployment: Deployment =
                visibility::own(caller, view, MODEL, id).await?.resource()?;
            let own = own_execution::load(view, caller).await?;
            let is_update = own_execution::is_update(own.as_ref());
            if !is_update {
                check(&deployment, patch)?;
            }
            let mut change = attributes(&deployment, patch)?;
            let mut decision = Decision::nothing();
            if let Some(wanted) = &wanted {
                let wanted = merged(&deployment, wanted, own.as_ref());
                require_parents(view, &mut decision, &deployment, &wanted).await?;
                let by = (clock::now_ms(), caller.username.as_str());
                change.labels = Some(Labels {
                    labels: labels::replaced(&deployment.labels, &wanted, by),
                });
            }
            references(view, caller, &mut change, patch).await?;
            if change == untouched(&deployment) {
                return Err(Error::refused(
                    ErrorCode::IllegalAction,
                    "Update a deployment request must include at least one parameter to update",
                ));
            }
            let of = stream(&deployment.tenant_name, id);
            decision.rests_on_once(view, of.clone()).await?;
            decision.event(of, Event::DeploymentChanged(change));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Outside a deployment update, attributes are set once.
fn check(deployment: &Deployment, patch: &PatchDeployment) -> Result<(), Error> {
    if patch.blueprint_id.is_some() {
        return Err(own_execution::only_update());
    }
    for (name, is_given, is_set) in [
        (
            "description",
            patch.description.is_some(),
            deployment.description.is_some(),
        ),
        (
            "workflows",
            patch.workflows.is_some(),
            deployment.workflows.is_some(),
        ),
        (
            "inputs",
            patch.inputs.is_some(),
            deployment.inputs.is_some(),
        ),
        (
            "policy_types",
            patch.policy_types.is_some(),
            deployment.policy_types.is_some(),
        ),
        (
            "policy_triggers",
            patch.policy_triggers.is_some(),
            deployment.policy_triggers.is_some(),
        ),
        (
            "groups",
            patch.groups.is_some(),
            deployment.groups.is_some(),
        ),
        (
            "scaling_groups",
            patch.scaling_groups.is_some(),
            deployment.scaling_groups.is_some(),
        ),
        (
            "outputs",
            patch.outputs.is_some(),
            deployment.outputs.is_some(),
        ),
        (
            "capabilities",
            patch.capabilities.is_some(),
            deployment.capabilities.is_some(),
        ),
        (
            "resource_tags",
            patch.resource_tags.is_some(),
            deployment.resource_tags.is_some(),
        ),
    ] {
        if is_given && is_set {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("{name} is already set"),
            ));
        }
    }
    Ok(())
}

/// A change that changes nothing.
fn untouched(deployment: &Deployment) -> DeploymentChanged {
    DeploymentChanged {
        id: deployment.id.clone(),
        tenant: deployment.tenant_name.clone(),
        updated_at_ms: deployment.own.updated_at_ms,
        ..DeploymentChanged::default()
    }
}

fn attributes(
    deployment: &Deployment,
    patch: &PatchDeployment,
) -> Result<DeploymentChanged, Error> {
    let text = |map: &Option<Map<String, Value>>| {
        let map = map.clone()?;
        Some(Value::Object(map).to_string())
    };
    let created_at = patch.created_at.clone().map(Value::String);
    Ok(DeploymentChanged {
        description: patch.description.clone(),
        workflows_json: text(&patch.workflows),
        inputs_json: text(&patch.inputs),
        policy_types_json: text(&patch.policy_types),
        policy_triggers_json: text(&patch.policy_triggers),
        groups_json: text(&patch.groups),
        scaling_groups_json: text(&patch.scaling_groups),
        outputs_json: text(&patch.outputs),
        capabilities_json: text(&patch.capabilities),
        resource_tags_json: text(&patch.resource_tags),
        display_name: patch.display_name.clone(),
        runtime_only_evaluation: patch.runtime_only_evaluation,
        created_by: patch.creator.clone(),
        created_at_ms: match created_at {
            Some(created_at) => labels::moment(&created_at)?,
            None => None,
        },
        ..untouched(deployment)
    })
}

/// The set of labels after the change: computed ones stay, and so does everything when the
/// deployment's own environment is being made.
fn merged(deployment: &Deployment, wanted: &[Wanted], own: Option<&Execution>) -> Vec<Wanted> {
    let is_creation = own.is_some_and(|own| deployment.create_execution.as_ref() == Some(&own.id));
    let mut merged: Vec<Wanted> = labels::kept(&deployment.labels)
        .into_iter()
        .filter(|label| is_creation || label.key == CONSUMER_LABEL)
        .collect();
    let settable = wanted
        .iter()
        .filter(|label| is_creation || label.key != CONSUMER_LABEL);
    labels::add(&mut merged, settable.cloned());
    merged
}

/// Whoever is named as parent must exist, and must not be the deployment itself nor below it. The
/// decision rests on all that are above a new parent, so that of those who close a circle at the
/// same moment one is refused, and it is announced to the parent's deletion.
///
/// # Errors
/// 404, 409; database errors.
pub(crate) async fn require_parents(
    view: &View,
    decision: &mut Decision,
    deployment: &Deployment,
    wanted: &[Wanted],
) -> Result<(), Error> {
    let tenant = deployment.tenant_name.as_str();
    for label in wanted.iter().filter(|label| label.key == PARENT_LABEL) {
        let parent = &label.value;
        if *parent == deployment.id {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!("Deployment {parent} cannot be its own parent"),
            ));
        }
        let above = ancestors(view, tenant, parent).await?;
        if above.is_empty() {
            return Err(Error::refused(
                ErrorCode::DeploymentParentNotFound,
                format!("Deployment parent with ID `{parent}` was not found"),
            ));
        }
        if above.contains(&deployment.id) {
            return Err(Error::refused(
                ErrorCode::Conflict,
                format!(
                    "Deployment {} is above {parent}: that would be a cycle of parents",
                    deployment.id
                ),
            ));
        }
        let is_same = |known: &Label| known.key == PARENT_LABEL && known.value == *parent;
        if deployment.labels.iter().any(is_same) {
            continue;
        }
        require_staying(view, (tenant, parent)).await?;
        for id in &above {
            decision.rests_on_once(view, stream(tenant, id)).await?;
        }
        let child = Some(deployment.id.as_str());
        inter_deployment_dependencies::announced(decision, (tenant, parent), child);
    }
    Ok(())
}

/// Ids of a deployment and of all that are above it; none when it does not exist.
async fn ancestors(view: &View, tenant: &str, id: &str) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut next = vec![id.to_owned()];
    while let Some(id) = next.pop() {
        if found.contains(&id) {
            continue;
        }
        let deployment: Option<Deployment> = view.get(&scoped(tenant, &id)).await?;
        let Some(deployment) = deployment else {
            continue;
        };
        found.insert(id);
        let labels = deployment.labels.into_iter();
        let parents = labels.filter(|label| label.key == PARENT_LABEL);
        next.extend(parents.map(|label| label.value));
    }
    Ok(found)
}

/// What the change names must exist.
async fn references(
    view: &View,
    caller: &Caller,
    change: &mut DeploymentChanged,
    patch: &PatchDeployment,
) -> Result<(), Error> {
    if let Some(id) = &patch.blueprint_id {
        caller.get(view, blueprints::MODEL, id).await?;
        change.blueprint_id = Some(id.clone());
    }
    if let Some(id) = &patch.create_execution {
        change.create_execution = Some(execution(view, caller, id).await?.id);
    }
    if let Some(id) = &patch.latest_execution {
        let latest = execution(view, caller, id).await?;
        change.latest_execution_status = summary(&latest.status).map(str::to_owned);
        change.latest_execution_workflow_id = Some(latest.workflow_id);
        change.latest_execution = Some(latest.id);
    }
    Ok(())
}

async fn execution(view: &View, caller: &Caller, id: &str) -> Result<Execution, Error> {
    let found: Option<Execution> = view.get(&scoped(caller.tenant()?, id)).await?;
    found.ok_or_else(|| Error::not_found("Execution", id))
}

/// An execution's status as its deployment sums it up.
fn summary(status: &str) -> Option<&'static str> {
    Some(match status {
        "terminated" => "completed",
        "failed" => "failed",
        "cancelled" => "cancelled",
        "scheduled" => return None,
        _ => "in_progress",
    })
}
