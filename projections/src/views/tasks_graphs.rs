//! Task graphs of executions.
use serde::{Deserialize, Serialize};
use stratalog_schema::{Event, time::wire};

use super::{executions::Execution, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "tasks_graphs",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::linked("execution_id"),
        Column::plain("name", Kind::Text),
        Column::linked("deployment_id"),
    ],
    fields: &{
        let [c0, c1, c2, c3, c4] = COMMON;
        [
            Field::col("created_at", Kind::Int, "created_at"),
            Field::col("id", Kind::Text, "id"),
            Field::col("name", Kind::Text, "name"),
            Field::col("execution_id", Kind::Text, "execution_id"),
            c0,
            c1,
            c2,
            c3,
            c4,
        ]
    },
};

owned_doc! {
    /// A task graph.
    pub struct TasksGraph {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// Unique within the execution.
        pub name: String,
        /// Its execution.
        pub execution_id: String,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of a graph is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Deployment of the execution.
    pub deployment_id: Option<String>,
}

impl Resource for TasksGraph {
    const VIEW: View = View::TasksGraphs;

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
            Col::from(self.execution_id.as_str()),
            Col::from(self.name.as_str()),
            Col::from(&self.own.deployment_id),
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
        Event::TasksGraphCreated(e) => {
            needs.key(
                View::TasksGraphs,
                scoped(&scope(e.scope.as_ref()).tenant, &e.id),
            );
        }
        Event::ExecutionDeleted(e) => needs.link(View::TasksGraphs, "execution_id", &e.id),
        Event::DeploymentDeleted(e) => needs.link(View::TasksGraphs, "deployment_id", &e.id),
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::TasksGraphCreated(e) => {
            let scope = scope(e.scope.as_ref());
            let execution: Execution = rows.expect(&scoped(&scope.tenant, &e.execution_id))?;
            let mut graph = TasksGraph {
                created_at: wire(e.created_at_ms),
                id: e.id.clone(),
                name: e.name.clone(),
                execution_id: e.execution_id.clone(),
                own: Own {
                    created_at_ms: e.created_at_ms,
                    deployment_id: execution.deployment_id,
                },
                visibility: String::new(),
                tenant_name: scope.tenant,
                created_by: scope.created_by,
                resource_availability: String::new(),
                private_resource: false,
            };
            graph.set_visibility(&scope.visibility);
            rows.put(&graph)?;
        }
        Event::ExecutionDeleted(e) => {
            let found = rows.find(View::TasksGraphs, "execution_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::TasksGraphs, &key);
            }
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::TasksGraphs, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::TasksGraphs, &key);
            }
        }
        _ => {}
    }
    Ok(())
}
