//! Agents: which hosts of deployments run one, and how it is reached.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::AgentCreated, time::wire};

use super::{nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "agents",
    version: 2,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("name", Kind::Text),
        Column::plain("state", Kind::Text),
        Column::plain("install_method", Kind::Text),
        Column::plain("node_id", Kind::Text),
        Column::linked("node_instance_id"),
        Column::linked("deployment_id"),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 26] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::doc("id", Kind::Text),
        Field::col("created_at", Kind::Int, "created_at"),
        Field::doc("updated_at", Kind::Text),
        Field::doc("ip", Kind::Text),
        Field::col("name", Kind::Text, "name"),
        Field::col("install_method", Kind::Text, "install_method"),
        Field::doc("system", Kind::Text),
        Field::doc("version", Kind::Text),
        Field::col("state", Kind::Text, "state"),
        Field::doc("rabbitmq_username", Kind::Text),
        Field::doc("rabbitmq_password", Kind::Text),
        Field::doc("rabbitmq_exchange", Kind::Text),
        Field::col("node_instance_id", Kind::Text, "node_instance_id"),
        Field::col("host_id", Kind::Text, "node_instance_id"),
        Field::col("node_id", Kind::Text, "node_id"),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::col("node", Kind::Text, "node_id"),
        Field::col("deployment", Kind::Text, "deployment_id"),
        Field::col("node_ids", Kind::Text, "node_id"),
        Field::col("node_instance_ids", Kind::Text, "node_instance_id"),
        Field::col("install_methods", Kind::Text, "install_method"),
        c0,
        c1,
        c2,
        c3,
        c4,
    ]
};

owned_doc! {
    /// An agent.
    pub struct Agent {
        /// Its name once more.
        pub id: String,
        /// Creation.
        pub created_at: String,
        /// Latest change.
        pub updated_at: Option<String>,
        /// Address of its host.
        pub ip: Option<String>,
        /// Its name, unique in its tenant.
        pub name: String,
        /// `remote`, `init_script`, `provided`, `plugin`…
        pub install_method: Option<String>,
        /// Operating system of its host.
        pub system: Option<String>,
        /// Its version.
        pub version: Option<String>,
        /// Where it stands in its life.
        pub state: String,
        /// Its user on the broker.
        pub rabbitmq_username: Option<String>,
        /// Always null here; told only to those who ask for the one agent.
        pub rabbitmq_password: Option<String>,
        /// Where it takes its operations from.
        pub rabbitmq_exchange: Option<String>,
        /// Node instance it stands on.
        pub node_instance_id: String,
        /// Another name of that.
        pub host_id: String,
        /// Node of that instance.
        pub node_id: String,
        /// Deployment of that instance.
        pub deployment_id: String,
        /// Another name of the node.
        pub node: String,
        /// Another name of the deployment.
        pub deployment: String,
        /// What is never served as it is.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of an agent is never served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Sealed password of its user on the broker; empty when it has none.
    pub rabbitmq_password_sealed: Vec<u8>,
}

impl Resource for Agent {
    const VIEW: View = View::Agents;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.name)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.name.as_str()),
            Col::from(self.state.as_str()),
            Col::from(&self.install_method),
            Col::from(self.node_id.as_str()),
            Col::from(self.node_instance_id.as_str()),
            Col::from(self.deployment_id.as_str()),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&self.own).map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        self.own = serde_json::from_str(hidden)?;
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    match event {
        Event::AgentCreated(e) => {
            let tenant = scope(e.scope.as_ref()).tenant;
            needs.key(View::Agents, scoped(&tenant, &e.name));
        }
        Event::AgentChanged(e) => needs.key(View::Agents, scoped(&e.tenant, &e.name)),
        Event::NodeInstanceDeleted(e) => needs.link(View::Agents, "node_instance_id", &e.id),
        Event::DeploymentDeleted(e) => needs.link(View::Agents, "deployment_id", &e.id),
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    let (gone, tenant) = match event {
        Event::AgentCreated(e) => return rows.put(&created(e)),
        Event::AgentChanged(e) => {
            let mut agent: Agent = rows.expect(&scoped(&e.tenant, &e.name))?;
            agent.updated_at = Some(wire(e.updated_at_ms));
            if let Some(state) = &e.state {
                agent.state.clone_from(state);
            }
            agent.system = e.system.clone().or(agent.system);
            agent.version = e.version.clone().or(agent.version);
            return rows.put(&agent);
        }
        Event::NodeInstanceDeleted(e) => {
            let found = rows.find(View::Agents, "node_instance_id", &e.id);
            (found, &e.tenant)
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::Agents, "deployment_id", &e.id);
            (found, &e.tenant)
        }
        _ => return Ok(()),
    };
    for key in of_tenant(gone, tenant) {
        rows.remove(View::Agents, &key);
    }
    Ok(())
}

fn created(e: &AgentCreated) -> Agent {
    let scope = scope(e.scope.as_ref());
    let mut agent = Agent {
        id: e.name.clone(),
        created_at: wire(e.created_at_ms),
        updated_at: Some(wire(e.created_at_ms)),
        ip: e.ip.clone(),
        name: e.name.clone(),
        install_method: e.install_method.clone(),
        system: e.system.clone(),
        version: Some(e.version.clone().unwrap_or_default()),
        state: e.state.clone(),
        rabbitmq_username: e.rabbitmq_username.clone(),
        rabbitmq_password: None,
        rabbitmq_exchange: e.rabbitmq_exchange.clone(),
        node_instance_id: e.node_instance_id.clone(),
        host_id: e.node_instance_id.clone(),
        node_id: e.node_id.clone(),
        deployment_id: e.deployment_id.clone(),
        node: e.node_id.clone(),
        deployment: e.deployment_id.clone(),
        own: Own {
            created_at_ms: e.created_at_ms,
            rabbitmq_password_sealed: e.rabbitmq_password_sealed.clone(),
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    agent.set_visibility(&scope.visibility);
    agent
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use stratalog_schema::events::{DeploymentDeleted, NodeInstanceDeleted, Scope};

    use super::*;

    fn rows() -> Rows {
        let mut rows = Rows::default();
        rows.at(1);
        let created = AgentCreated {
            name: "a1".to_owned(),
            node_instance_id: "host_1".to_owned(),
            deployment_id: "dep".to_owned(),
            scope: Some(Scope {
                tenant: "t1".to_owned(),
                visibility: "tenant".to_owned(),
                created_by: "admin".to_owned(),
            }),
            ..AgentCreated::default()
        };
        fold(&Event::AgentCreated(created), &mut rows).unwrap();
        assert!(rows.row(View::Agents, "t1/a1").is_some());
        rows
    }

    fn is_left(event: &Event) -> bool {
        let mut rows = rows();
        rows.at(2);
        fold(event, &mut rows).unwrap();
        rows.row(View::Agents, "t1/a1").is_some()
    }

    fn deployment(tenant: &str) -> Event {
        Event::DeploymentDeleted(DeploymentDeleted {
            id: "dep".to_owned(),
            tenant: tenant.to_owned(),
        })
    }

    fn instance(id: &str) -> Event {
        Event::NodeInstanceDeleted(NodeInstanceDeleted {
            id: id.to_owned(),
            tenant: "t1".to_owned(),
        })
    }

    #[test]
    fn an_agent_goes_with_what_it_stands_on() {
        assert!(!is_left(&deployment("t1")));
        assert!(!is_left(&instance("host_1")));
    }

    #[test]
    fn an_agent_stays_when_others_go() {
        assert!(is_left(&deployment("t2")));
        assert!(is_left(&instance("host_2")));
    }
}
