//! Nodes of deployments. Counts of instances and of drifted and unavailable ones are not in the
//! stored document: readers append them.
use stratalog_schema::{
    Event,
    events::{Node as NodeEvent, NodeChanged, NodesCreated},
};

use super::{Json, json, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "nodes",
    version: 2,
    columns: &[
        Column::plain("id", Kind::Text),
        Column::linked("deployment_id"),
        Column::sorted("type", Kind::Text),
        Column::plain("host_id", Kind::Text),
        Column::plain("blueprint_id", Kind::Text),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 32] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("id", Kind::Text, "id"),
        Field::doc("deploy_number_of_instances", Kind::Int),
        Field::col("host_id", Kind::Text, "host_id"),
        Field::doc("max_number_of_instances", Kind::Int),
        Field::doc("min_number_of_instances", Kind::Int),
        Field::doc("number_of_instances", Kind::Int),
        Field::doc("planned_number_of_instances", Kind::Int),
        Field::doc("plugins_p", Kind::Json),
        Field::doc("plugins", Kind::Json),
        Field::doc("plugins_to_install_p", Kind::Json),
        Field::doc("plugins_to_install", Kind::Json),
        Field::doc("properties_p", Kind::Json),
        Field::doc("properties", Kind::Json),
        Field::doc("relationships_p", Kind::Json),
        Field::doc("relationships", Kind::Json),
        Field::doc("operations_p", Kind::Json),
        Field::doc("operations", Kind::Json),
        Field::col("type", Kind::Text, "type"),
        Field::doc("type_hierarchy_p", Kind::Json),
        Field::doc("type_hierarchy", Kind::Json),
        Field::doc("drifted_instances", Kind::Json),
        Field::doc("unavailable_instances", Kind::Json),
        Field::doc("actual_number_of_instances", Kind::Json),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::col("blueprint_id", Kind::Text, "blueprint_id"),
        Field::doc("deployment_display_name", Kind::Text),
        c0,
        c1,
        c2,
        c3,
        c4,
        Field::doc("actual_planned_number_of_instances", Kind::Json),
    ]
};

owned_doc! {
    /// A node of a deployment.
    pub struct Node {
        /// Its name in the blueprint.
        pub id: String,
        /// Instances at deployment.
        pub deploy_number_of_instances: i64,
        /// Node of the host it is contained in.
        pub host_id: Option<String>,
        /// -1: unlimited.
        pub max_number_of_instances: i64,
        /// Lower limit of scaling.
        pub min_number_of_instances: i64,
        /// Instances there are, by the last finished scaling.
        pub number_of_instances: i64,
        /// Instances there should be.
        pub planned_number_of_instances: i64,
        /// Always null.
        pub plugins_p: Null,
        /// Plugins its operations use.
        pub plugins: Option<Json>,
        /// Always null.
        pub plugins_to_install_p: Null,
        /// Plugins a host's agent needs.
        pub plugins_to_install: Option<Json>,
        /// Always null.
        pub properties_p: Null,
        /// Its properties.
        pub properties: Option<Json>,
        /// Always null.
        pub relationships_p: Null,
        /// Its relationships.
        pub relationships: Option<Json>,
        /// Always null.
        pub operations_p: Null,
        /// Its operations.
        pub operations: Option<Json>,
        /// Its type.
        #[serde(rename = "type")]
        pub node_type: String,
        /// Always null.
        pub type_hierarchy_p: Null,
        /// The type with those it derives from, root first.
        pub type_hierarchy: Vec<String>,
        /// Its deployment.
        pub deployment_id: String,
        /// Blueprint of its deployment.
        pub blueprint_id: String,
        /// Name of its deployment for people.
        pub deployment_display_name: String,
    }
}

impl Node {
    /// Its key.
    pub fn key_of(tenant: &str, deployment: &str, id: &str) -> String {
        format!("{tenant}/{deployment}/{id}")
    }
}

impl Resource for Node {
    const VIEW: View = View::Nodes;

    fn key(&self) -> String {
        Self::key_of(&self.tenant_name, &self.deployment_id, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::from(self.id.as_str()),
            Col::from(self.deployment_id.as_str()),
            Col::from(self.node_type.as_str()),
            Col::from(&self.host_id),
            Col::from(self.blueprint_id.as_str()),
        ]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::NodesCreated(e) => {
            let tenant = scope(e.scope.as_ref()).tenant;
            for node in &e.nodes {
                needs.key(
                    View::Nodes,
                    Node::key_of(&tenant, &e.deployment_id, &node.id),
                );
            }
        }
        Event::NodeChanged(e) => {
            needs.key(
                View::Nodes,
                Node::key_of(&e.tenant, &e.deployment_id, &e.id),
            );
        }
        Event::NodeDeleted(e) => {
            needs.key(
                View::Nodes,
                Node::key_of(&e.tenant, &e.deployment_id, &e.id),
            );
        }
        Event::DeploymentDeleted(e) => needs.link(View::Nodes, "deployment_id", &e.id),
        Event::DeploymentChanged(e) if renames(e) => {
            needs.link(View::Nodes, "deployment_id", &e.id);
        }
        _ => {}
    }
}

/// Whether nodes show something this change touches.
fn renames(e: &stratalog_schema::events::DeploymentChanged) -> bool {
    e.display_name.is_some() || e.blueprint_id.is_some() || e.visibility.is_some()
}

/// Keys of a tenant among rows found by a column.
pub(crate) fn of_tenant(keys: Vec<String>, tenant: &str) -> impl Iterator<Item = String> {
    let prefix = scoped(tenant, "");
    keys.into_iter().filter(move |key| key.starts_with(&prefix))
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::NodesCreated(e) => {
            for node in &e.nodes {
                rows.put(&created(e, node)?)?;
            }
        }
        Event::NodeChanged(e) => {
            let mut node: Node = rows.expect(&Node::key_of(&e.tenant, &e.deployment_id, &e.id))?;
            change(&mut node, e)?;
            rows.put(&node)?;
        }
        Event::NodeDeleted(e) => {
            rows.remove(
                View::Nodes,
                &Node::key_of(&e.tenant, &e.deployment_id, &e.id),
            );
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::Nodes, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::Nodes, &key);
            }
        }
        Event::DeploymentChanged(e) if renames(e) => {
            let found = rows.find(View::Nodes, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                let mut node: Node = rows.expect(&key)?;
                if let Some(name) = &e.display_name {
                    node.deployment_display_name.clone_from(name);
                }
                if let Some(blueprint) = &e.blueprint_id {
                    node.blueprint_id.clone_from(blueprint);
                }
                if let Some(visibility) = &e.visibility {
                    node.set_visibility(visibility);
                }
                rows.put(&node)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn created(e: &NodesCreated, node: &NodeEvent) -> Result<Node, Error> {
    let scope = scope(e.scope.as_ref());
    let mut created = Node {
        id: node.id.clone(),
        deploy_number_of_instances: node.deploy_number_of_instances,
        host_id: node.host_id.clone(),
        max_number_of_instances: node.max_number_of_instances,
        min_number_of_instances: node.min_number_of_instances,
        number_of_instances: node.number_of_instances,
        planned_number_of_instances: node.planned_number_of_instances,
        plugins_p: (),
        plugins: json(&node.plugins_json)?,
        plugins_to_install_p: (),
        plugins_to_install: json(&node.plugins_to_install_json)?,
        properties_p: (),
        properties: json(&node.properties_json)?,
        relationships_p: (),
        relationships: json(&node.relationships_json)?,
        operations_p: (),
        operations: json(&node.operations_json)?,
        node_type: node.r#type.clone(),
        type_hierarchy_p: (),
        type_hierarchy: node.type_hierarchy.clone(),
        deployment_id: e.deployment_id.clone(),
        blueprint_id: e.blueprint_id.clone(),
        deployment_display_name: e.deployment_display_name.clone(),
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    created.set_visibility(&scope.visibility);
    Ok(created)
}

fn change(node: &mut Node, e: &NodeChanged) -> Result<(), Error> {
    for (field, change) in [
        (&mut node.properties, &e.properties_json),
        (&mut node.operations, &e.operations_json),
        (&mut node.relationships, &e.relationships_json),
        (&mut node.plugins, &e.plugins_json),
        (&mut node.plugins_to_install, &e.plugins_to_install_json),
    ] {
        if let Some(change) = change {
            *field = json(change)?;
        }
    }
    if !e.type_hierarchy.is_empty() {
        node.type_hierarchy.clone_from(&e.type_hierarchy);
    }
    for (field, change) in [
        (&mut node.number_of_instances, e.number_of_instances),
        (
            &mut node.planned_number_of_instances,
            e.planned_number_of_instances,
        ),
        (
            &mut node.deploy_number_of_instances,
            e.deploy_number_of_instances,
        ),
        (&mut node.min_number_of_instances, e.min_number_of_instances),
        (&mut node.max_number_of_instances, e.max_number_of_instances),
    ] {
        if let Some(change) = change {
            *field = change;
        }
    }
    Ok(())
}
