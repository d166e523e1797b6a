//! Modifications of deployments: how the number of their node instances changed.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, events::DeploymentModificationStarted, time::wire};

use super::{Json, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "deployment_modifications",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("status", Kind::Text),
        Column::linked("deployment_id"),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::doc("ended_at", Kind::Text),
            Field::col("status", Kind::Text, "status"),
            Field::col("deployment_id", Kind::Text, "deployment_id"),
            Field::doc("context", Kind::Json),
            Field::doc("modified_nodes", Kind::Json),
            Field::doc("node_instances", Kind::Json),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A modification of a deployment.
    pub struct DeploymentModification {
        /// Its start.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// Its end.
        pub ended_at: Option<String>,
        /// `started`, `finished` or `rolledback`.
        pub status: String,
        /// The deployment.
        pub deployment_id: String,
        /// What who started it says about it.
        pub context: Option<Json>,
        /// Nodes and scaling groups with their wanted numbers of instances.
        pub modified_nodes: Option<Json>,
        /// Which instances it adds, extends, reduces and removes, and what was before.
        pub node_instances: Option<Json>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a modification is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Its start; milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl Resource for DeploymentModification {
    const VIEW: View = View::DeploymentModifications;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.status.as_str()),
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
    let key = match event {
        Event::DeploymentModificationStarted(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.id),
        Event::DeploymentModificationEnded(e) => scoped(&e.tenant, &e.id),
        Event::DeploymentDeleted(e) => {
            needs.link(View::DeploymentModifications, "deployment_id", &e.id);
            return;
        }
        _ => return,
    };
    needs.key(View::DeploymentModifications, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::DeploymentModificationStarted(e) => rows.put(&started(e)?),
        Event::DeploymentModificationEnded(e) => {
            let key = scoped(&e.tenant, &e.id);
            let mut modification: DeploymentModification = rows.expect(&key)?;
            modification.status.clone_from(&e.status);
            modification.ended_at = Some(wire(e.ended_at_ms));
            if let Some(before) = &e.before_rollback_json {
                modification.set_before_rollback(before)?;
            }
            rows.put(&modification)
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::DeploymentModifications, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::DeploymentModifications, &key);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

impl DeploymentModification {
    fn set_before_rollback(&mut self, before: &str) -> Result<(), Error> {
        let text = self.node_instances.as_ref().map_or("{}", |json| json.get());
        let mut all: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(Error::EventDocument)?;
        let before = serde_json::from_str(before).map_err(Error::EventDocument)?;
        all.insert("before_rollback".to_owned(), before);
        self.node_instances = json(&serde_json::Value::from(all).to_string())?;
        Ok(())
    }
}

fn started(e: &DeploymentModificationStarted) -> Result<DeploymentModification, Error> {
    let scope = scope(e.scope.as_ref());
    let mut modification = DeploymentModification {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        ended_at: None,
        status: "started".to_owned(),
        deployment_id: e.deployment_id.clone(),
        context: json(&e.context_json)?,
        modified_nodes: json(&e.modified_nodes_json)?,
        node_instances: json(&e.node_instances_json)?,
        own: Own {
            created_at_ms: e.created_at_ms,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    modification.set_visibility(&scope.visibility);
    Ok(modification)
}
