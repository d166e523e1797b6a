//! The start: the numbers wanted are planned, new instances appear, others gain relationships.
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_schema::{
    Event,
    events::{DeploymentModificationStarted, Scope},
};

use super::{
    Count, Whole, count, deployment_stream, documents, extend, modified, started, stream, whole,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        deployments,
        node_instances::{self, NewNodeInstance},
        own_execution, visibility,
    },
    context::Context,
    dsl::{self, planner::Change},
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// A modification somebody asks for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NewModification {
    /// The deployment.
    pub deployment_id: String,
    /// What is kept beside it.
    #[serde(default)]
    pub context: Map<String, Value>,
    /// Nodes and scaling groups: `instances`, `removed_ids_include_hint`,
    /// `removed_ids_exclude_hint`.
    #[serde(default)]
    pub nodes: Map<String, Value>,
}

/// Starts a modification; its id.
///
/// # Errors
/// 403; 404 for an unknown deployment, node or group; 400 for numbers that are none and
/// `existing_started_deployment_modification_error`.
pub async fn start(ctx: &Context, caller: &Caller, new: &NewModification) -> Result<String, Error> {
    caller.require(Permission::DeploymentModify)?;
    let id = own_execution::new_id();
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = visibility::own(caller, view, deployments::MODEL, &new.deployment_id).await?;
            let whole = Whole::read(view, row.resource()?).await?;
            refuse_second(view, &whole).await?;
            let mut decision = Decision::nothing();
            decision
                .rests_on(view, deployment_stream(&whole.deployment))
                .await?;
            for instance in &whole.instances {
                whole.rest_on(&mut decision, instance);
            }
            decide(view, &mut decision, (&id, new), &whole).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(id)
}

async fn refuse_second(view: &View, whole: &Whole) -> Result<(), Error> {
    let others = started(view, &whole.deployment).await?;
    if others.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = others
        .iter()
        .map(|other| format!("'{}'", other.id))
        .collect();
    Err(Error::refused(
        ErrorCode::ExistingStartedDeploymentModification,
        format!(
            "Cannot start deployment modification while there are existing started deployment \
             modifications. Currently started deployment modifications: [{}]",
            ids.join(", ")
        ),
    ))
}

fn check(whole: &Whole, nodes: &Map<String, Value>) -> Result<(), Error> {
    let groups = whole.scaling_groups()?;
    for (name, wanted) in nodes {
        if !groups.contains_key(name) && whole.nodes.iter().all(|node| node.id != *name) {
            return Err(Error::not_found("Node", name));
        }
        let instances = wanted.get("instances");
        if instances.is_some_and(|number| number.as_u64().is_none()) {
            return Err(Error::bad_parameters(format!(
                "`instances` of `{name}` must be a number of instances, got {}",
                instances.unwrap_or(&Value::Null)
            )));
        }
    }
    Ok(())
}

async fn decide(
    view: &View,
    decision: &mut Decision,
    (id, new): (&str, &NewModification),
    whole: &Whole,
) -> Result<(), Error> {
    check(whole, &new.nodes)?;
    let deployment = &whole.deployment;
    let (nodes, instances) = (documents(&whole.nodes)?, documents(&whole.instances)?);
    let nodes: Vec<dsl::Value> = nodes.iter().map(Into::into).collect();
    let previous: Vec<dsl::Value> = instances.iter().map(Into::into).collect();
    let change = Change {
        nodes: &nodes,
        previous_nodes: &nodes,
        previous_node_instances: &previous,
        modified_nodes: &(&new.nodes).into(),
        scaling_groups: &whole.scaling_groups()?.into(),
    };
    let modification = modified(view, &deployment.tenant_name, &change)
        .await?
        .map_err(|error| Error::bad_parameters(error.to_string()))?;
    let scope = Scope {
        tenant: deployment.tenant_name.clone(),
        visibility: deployment.visibility.clone(),
        created_by: deployment.created_by.clone(),
    };
    let mut described = serde_json::to_value(&modification).map_err(Error::internal)?;
    described["before_modification"] = instances.into();
    let event = DeploymentModificationStarted {
        id: id.to_owned(),
        scope: Some(scope),
        deployment_id: deployment.id.clone(),
        created_at_ms: clock::now_ms(),
        context_json: Value::from(new.context.clone()).to_string(),
        modified_nodes_json: Value::from(new.nodes.clone()).to_string(),
        node_instances_json: described.to_string(),
    };
    decision.event(
        stream(&deployment.tenant_name, id),
        Event::DeploymentModificationStarted(event),
    );
    count(decision, whole, &new.nodes, Count::Planned)?;
    let added = plain(&modification.added_and_related);
    let extended = plain(&modification.extended_and_related);
    let new: Vec<NewNodeInstance> = whole::added(&added)?;
    if !new.is_empty() {
        let created = node_instances::decide_creation(view, deployment, &new).await?;
        decision.events.extend(created.events);
    }
    extend(decision, whole, &extended)
}

fn plain(part: &[dsl::Value]) -> Vec<Value> {
    part.iter().map(Into::into).collect()
}
