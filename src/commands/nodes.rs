//! Nodes of deployments: creation in bulk, and what a deployment update changes.
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use stratalog_projections::{
    View,
    views::{deployments::Deployment, nodes::Node},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{self, NodeChanged, NodeDeleted, NodesCreated},
};

use super::{own_execution::require_update, visibility};
use crate::{
    auth::{Caller, Permission},
    context::Context,
    error::Error,
    store::{Decision, View as Reader},
};

/// Key of the instance counts within a node of a plan.
const SCALABLE: &str = "/scalable/properties";

/// A node to create, as plans hold it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NewNode {
    /// Its name.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub node_type: String,
    /// The type with those it derives from, root first.
    pub type_hierarchy: Option<Vec<String>>,
    /// Node of its host.
    pub host_id: Option<String>,
    /// Its properties.
    pub properties: Value,
    /// Its operations.
    pub operations: Value,
    /// Its relationships, as nodes keep them.
    #[serde(deserialize_with = "related")]
    pub relationships: Value,
    /// Plugins its operations use.
    pub plugins: Value,
    /// Plugins a host's agent needs.
    pub plugins_to_install: Value,
    /// `scalable.properties` holds the counts.
    pub capabilities: Option<Value>,
    /// Counts of a restored node.
    pub number_of_instances: Option<i64>,
    /// Counts of a restored node.
    pub planned_number_of_instances: Option<i64>,
    /// Counts of a restored node.
    pub deploy_number_of_instances: Option<i64>,
    /// Counts of a restored node.
    pub min_number_of_instances: Option<i64>,
    /// Counts of a restored node.
    pub max_number_of_instances: Option<i64>,
}

/// What nodes keep of their relationships; the interfaces, which the operations come from, are not
/// among it.
const RELATIONSHIP: [&str; 6] = [
    "target_id",
    "type",
    "type_hierarchy",
    "properties",
    "source_operations",
    "target_operations",
];

fn related<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let mut relationships = Value::deserialize(deserializer)?;
    for relationship in relationships.as_array_mut().into_iter().flatten() {
        keep_relationship(relationship);
    }
    Ok(relationships)
}

/// Leaves what nodes keep of a relationship of a plan.
pub(crate) fn keep_relationship(relationship: &mut Value) {
    if let Some(members) = relationship.as_object_mut() {
        members.retain(|name, _| RELATIONSHIP.contains(&name.as_str()));
    }
}

/// What a deployment update changes. What is absent stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct UpdateNode {
    /// Its plugins.
    pub plugins: Option<Vec<Value>>,
    /// Its operations.
    pub operations: Option<Map<String, Value>>,
    /// Its relationships.
    pub relationships: Option<Vec<Value>>,
    /// Its properties.
    pub properties: Option<Map<String, Value>>,
    /// `scalable` holds the counts.
    pub capabilities: Option<Value>,
}

/// Creates nodes of a deployment.
///
/// # Errors
/// 403; 404 for an unknown deployment; 400 for a node without id or type.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    deployment_id: &str,
    nodes: &[NewNode],
) -> Result<(), Error> {
    caller.require(Permission::NodeList)?;
    for node in nodes {
        for (key, value) in [("id", &node.id), ("type", &node.node_type)] {
            if value.is_empty() {
                return Err(Error::bad_parameters(format!(
                    "Missing {key} in json request body"
                )));
            }
        }
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let model = (View::Deployments, "Deployment");
            let row = visibility::own(caller, view, model, deployment_id).await?;
            let mut decision = Decision::nothing();
            created(&mut decision, &row.resource()?, nodes);
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Adds the creation of nodes to a decision.
pub(crate) fn created(decision: &mut Decision, deployment: &Deployment, nodes: &[NewNode]) {
    let scope = events::Scope {
        tenant: deployment.tenant_name.clone(),
        visibility: deployment.visibility.clone(),
        created_by: deployment.created_by.clone(),
    };
    decision.event(
        stream(&deployment.tenant_name, &deployment.id),
        Event::NodesCreated(NodesCreated {
            deployment_id: deployment.id.clone(),
            scope: Some(scope),
            blueprint_id: deployment.blueprint_id.clone(),
            deployment_display_name: deployment.display_name.clone(),
            nodes: nodes.iter().map(event).collect(),
        }),
    );
}

fn stream(tenant: &str, deployment_id: &str) -> StreamId {
    StreamId::scoped(Category::Deployment, tenant, deployment_id)
}

fn event(node: &NewNode) -> events::Node {
    let counts = node
        .capabilities
        .as_ref()
        .and_then(|capabilities| capabilities.pointer(SCALABLE));
    let count = |given: Option<i64>, name: &str| {
        let planned = || counts?.get(name)?.as_i64();
        given.or_else(planned).unwrap_or(1)
    };
    let object = |value: &Value| match value {
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    let list = |value: &Value| match value {
        Value::Null => "[]".to_owned(),
        other => other.to_string(),
    };
    let current = count(node.number_of_instances, "current_instances");
    events::Node {
        id: node.id.clone(),
        r#type: node.node_type.clone(),
        type_hierarchy: node.type_hierarchy.clone().unwrap_or_default(),
        host_id: node.host_id.clone(),
        properties_json: object(&node.properties),
        operations_json: object(&node.operations),
        relationships_json: list(&node.relationships),
        plugins_json: list(&node.plugins),
        plugins_to_install_json: node.plugins_to_install.to_string(),
        number_of_instances: current,
        planned_number_of_instances: node
            .planned_number_of_instances
            .or_else(|| counts?.get("planned_instances")?.as_i64())
            .unwrap_or(current),
        deploy_number_of_instances: count(node.deploy_number_of_instances, "default_instances"),
        min_number_of_instances: count(node.min_number_of_instances, "min_instances"),
        max_number_of_instances: count(node.max_number_of_instances, "max_instances"),
    }
}

/// Changes a node; for deployment updates only.
///
/// # Errors
/// 403, 404.
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
    change: &UpdateNode,
) -> Result<(), Error> {
    caller.require(Permission::NodeUpdate)?;
    let tenant = caller.tenant()?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            require_update(view, caller).await?;
            let node = find(view, caller, (deployment_id, id)).await?;
            let text = |value: &dyn Fn() -> Option<Value>| value().map(|value| value.to_string());
            let count = |name: &str| {
                let scalable = change.capabilities.as_ref()?.get("scalable")?;
                scalable
                    .get("properties")
                    .unwrap_or(scalable)
                    .get(name)?
                    .as_i64()
            };
            let mut decision = Decision::nothing();
            decision.event(
                stream(tenant, deployment_id),
                Event::NodeChanged(NodeChanged {
                    deployment_id: deployment_id.to_owned(),
                    tenant: tenant.to_owned(),
                    id: node.id,
                    properties_json: text(&|| change.properties.clone().map(Value::Object)),
                    operations_json: text(&|| change.operations.clone().map(Value::Object)),
                    relationships_json: text(&|| change.relationships.clone().map(Value::Array)),
                    plugins_json: text(&|| change.plugins.clone().map(Value::Array)),
                    number_of_instances: count("current_instances"),
                    planned_number_of_instances: count("planned_instances"),
                    deploy_number_of_instances: count("default_instances"),
                    min_number_of_instances: count("min_instances"),
                    max_number_of_instances: count("max_instances"),
                    ..NodeChanged::default()
                }),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// Removes a node; for deployment updates only.
///
/// # Errors
/// 403, 404.
pub async fn delete(
    ctx: &Context,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
) -> Result<(), Error> {
    caller.require(Permission::NodeDelete)?;
    let tenant = caller.tenant()?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            require_update(view, caller).await?;
            find(view, caller, (deployment_id, id)).await?;
            let mut decision = Decision::nothing();
            decision.event(
                stream(tenant, deployment_id),
                Event::NodeDeleted(NodeDeleted {
                    deployment_id: deployment_id.to_owned(),
                    tenant: tenant.to_owned(),
                    id: id.to_owned(),
                }),
            );
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

async fn find(
    view: &Reader,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
) -> Result<Node, Error> {
    let key = Node::key_of(caller.tenant()?, deployment_id, id);
    let node: Option<Node> = view.get(&key).await?;
    node.ok_or_else(|| Error::not_found("Node", id))
}
