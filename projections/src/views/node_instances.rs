//! Node instances: the rows that change most.
use stratalog_schema::{
    Event,
    events::{NodeInstance as InstanceEvent, NodeInstancesCreated},
};

use super::{Json, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "node_instances",
    version: 1,
    columns: &[
        Column::plain("id", Kind::Text),
        Column::linked("deployment_id"),
        Column::sorted("node_id", Kind::Text),
        Column::plain("state", Kind::Text),
        Column::plain("host_id", Kind::Text),
        Column::plain("index", Kind::Int),
        Column::plain("version", Kind::Int),
        Column::plain("is_status_check_ok", Kind::Bool),
        Column::plain("has_configuration_drift", Kind::Bool),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 21] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("id", Kind::Text, "id"),
        Field::col("host_id", Kind::Text, "host_id"),
        Field::col("index", Kind::Int, "index"),
        Field::doc("relationships_p", Kind::Json),
        Field::doc("relationships", Kind::Json),
        Field::doc("runtime_properties_p", Kind::Json),
        Field::doc("runtime_properties", Kind::Json),
        Field::doc("system_properties", Kind::Json),
        Field::doc("scaling_groups_p", Kind::Json),
        Field::doc("scaling_groups", Kind::Json),
        Field::col("state", Kind::Text, "state"),
        Field::col("version", Kind::Int, "version"),
        Field::col(
            "has_configuration_drift",
            Kind::Bool,
            "has_configuration_drift",
        ),
        Field::col("is_status_check_ok", Kind::Bool, "is_status_check_ok"),
        Field::col("node_id", Kind::Text, "node_id"),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        c0,
        c1,
        c2,
        c3,
        c4,
    ]
};

owned_doc! {
    /// A node instance.
    pub struct NodeInstance {
        /// Its id.
        pub id: String,
        /// Instance of the host it is contained in.
        pub host_id: Option<String>,
        /// Number among the instances of its node, from 1.
        pub index: i64,
        /// Always null.
        pub relationships_p: Null,
        /// `[{target_id, target_name, type}]`.
        pub relationships: Option<Json>,
        /// Always null.
        pub runtime_properties_p: Null,
        /// What operations stored.
        pub runtime_properties: Option<Json>,
        /// What workflows stored.
        pub system_properties: Option<Json>,
        /// Always null.
        pub scaling_groups_p: Null,
        /// `[{id, name}]`.
        pub scaling_groups: Option<Json>,
        /// Lifecycle state; free text.
        pub state: String,
        /// Raised by one with every change.
        pub version: i64,
        /// Whether the latest drift check found a difference.
        pub has_configuration_drift: bool,
        /// Whether the latest status check was good.
        pub is_status_check_ok: bool,
        /// Its node.
        pub node_id: String,
        /// Its deployment.
        pub deployment_id: String,
    }
}

impl Resource for NodeInstance {
    const VIEW: View = View::NodeInstances;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::from(self.id.as_str()),
            Col::from(self.deployment_id.as_str()),
            Col::from(self.node_id.as_str()),
            Col::from(self.state.as_str()),
            Col::from(&self.host_id),
            Col::Int(Some(self.index)),
            Col::Int(Some(self.version)),
            Col::Bool(Some(self.is_status_check_ok)),
            Col::Bool(Some(self.has_configuration_drift)),
        ]
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::NodeInstancesCreated(e) => {
            let tenant = scope(e.scope.as_ref()).tenant;
            for instance in &e.instances {
                needs.key(View::NodeInstances, scoped(&tenant, &instance.id));
            }
        }
        Event::NodeInstanceChanged(e) => {
            needs.key(View::NodeInstances, scoped(&e.tenant, &e.id));
        }
        Event::NodeInstanceDeleted(e) => {
            needs.key(View::NodeInstances, scoped(&e.tenant, &e.id));
        }
        Event::DeploymentDeleted(e) => needs.link(View::NodeInstances, "deployment_id", &e.id),
        Event::DeploymentChanged(e) if e.visibility.is_some() => {
            needs.link(View::NodeInstances, "deployment_id", &e.id);
        }
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::NodeInstancesCreated(e) => {
            for instance in &e.instances {
                rows.put(&created(e, instance)?)?;
            }
        }
        Event::NodeInstanceChanged(e) => {
            let mut instance: NodeInstance = rows.expect(&scoped(&e.tenant, &e.id))?;
            instance.version = e.version;
            if let Some(state) = &e.state {
                instance.state.clone_from(state);
            }
            for (field, change) in [
                (&mut instance.runtime_properties, &e.runtime_properties_json),
                (&mut instance.system_properties, &e.system_properties_json),
                (&mut instance.relationships, &e.relationships_json),
            ] {
                if let Some(change) = change {
                    *field = json(change)?;
                }
            }
            if let Some(flag) = e.is_status_check_ok {
                instance.is_status_check_ok = flag;
            }
            if let Some(flag) = e.has_configuration_drift {
                instance.has_configuration_drift = flag;
            }
            rows.put(&instance)?;
        }
        Event::NodeInstanceDeleted(e) => {
            rows.remove(View::NodeInstances, &scoped(&e.tenant, &e.id));
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::NodeInstances, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::NodeInstances, &key);
            }
        }
        Event::DeploymentChanged(e) => {
            let Some(visibility) = &e.visibility else {
                return Ok(());
            };
            let found = rows.find(View::NodeInstances, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                let mut instance: NodeInstance = rows.expect(&key)?;
                instance.set_visibility(visibility);
                rows.put(&instance)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn created(e: &NodeInstancesCreated, instance: &InstanceEvent) -> Result<NodeInstance, Error> {
    let scope = scope(e.scope.as_ref());
    let mut created = NodeInstance {
        id: instance.id.clone(),
        host_id: instance.host_id.clone(),
        index: instance.index,
        relationships_p: (),
        relationships: json(&instance.relationships_json)?,
        runtime_properties_p: (),
        runtime_properties: json(&instance.runtime_properties_json)?,
        system_properties: json(&instance.system_properties_json)?,
        scaling_groups_p: (),
        scaling_groups: json(&instance.scaling_groups_json)?,
        state: instance.state.clone(),
        version: instance.version,
        has_configuration_drift: false,
        is_status_check_ok: false,
        node_id: instance.node_id.clone(),
        deployment_id: e.deployment_id.clone(),
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    created.set_visibility(&scope.visibility);
    Ok(created)
}
