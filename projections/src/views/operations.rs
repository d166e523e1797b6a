//! Operations of task graphs: what an execution has done and has yet to do.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{Operation as OperationEvent, OperationChange, Scope},
    time::wire,
};

use super::{Json, executions::Execution, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::owned_doc,
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "operations",
    version: 2,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::linked("tasks_graph_id"),
        Column::linked("execution_id"),
        Column::linked("deployment_id"),
        Column::plain("state", Kind::Text),
        Column::plain("type", Kind::Text),
        Column::plain("name", Kind::Text),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 15] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("created_at", Kind::Int, "created_at"),
        Field::col("id", Kind::Text, "id"),
        Field::col("name", Kind::Text, "name"),
        Field::col("state", Kind::Text, "state"),
        Field::doc("dependencies", Kind::Json),
        Field::col("type", Kind::Text, "type"),
        Field::doc("parameters", Kind::Json),
        Field::doc("manager_name", Kind::Text),
        Field::doc("agent_name", Kind::Text),
        Field::col("tasks_graph_id", Kind::Text, "tasks_graph_id"),
        c0,
        c1,
        c2,
        c3,
        c4,
    ]
};

owned_doc! {
    /// An operation of a task graph.
    pub struct Operation {
        /// Creation.
        pub created_at: String,
        /// Its id; also the AMQP correlation id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// Where it stands.
        pub state: String,
        /// Ids of the operations it waits for.
        pub dependencies: Vec<String>,
        /// Kind of task.
        #[serde(rename = "type")]
        pub operation_type: String,
        /// What it does, and its retry counters.
        pub parameters: Option<Json>,
        /// Manager that ran it.
        pub manager_name: Option<String>,
        /// Agent that ran it.
        pub agent_name: Option<String>,
        /// Its graph.
        pub tasks_graph_id: String,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of an operation is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Its execution.
    pub execution_id: String,
    /// Deployment of the execution.
    pub deployment_id: Option<String>,
    /// Whether it ever ended; it is counted once.
    pub finished: bool,
    /// Its result, a JSON text.
    pub result_json: Option<String>,
    /// Why it failed.
    pub exception: Option<String>,
    /// Who runs it, or ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// What an operation is run for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Digest of the execution token in the message.
    pub token: String,
    /// The message's id; empty if it has none.
    pub message: String,
    /// One name for one run.
    pub run: String,
}

/// States no worker leaves.
pub fn is_terminal(state: &str) -> bool {
    matches!(state, "rescheduled" | "succeeded" | "failed")
}

/// States of operations that somebody has begun and not ended.
pub fn is_begun(state: &str) -> bool {
    matches!(state, "started" | "response-sent")
}

/// Whether operations of this type appear in an execution's counters.
pub fn is_counted(operation_type: &str) -> bool {
    operation_type != "NOPLocalWorkflowTask"
}

impl Operation {
    /// Whether it appears in its execution's counters.
    pub fn is_counted(&self) -> bool {
        is_counted(&self.operation_type)
    }
}

impl Resource for Operation {
    const VIEW: View = View::Operations;

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
            Col::from(self.tasks_graph_id.as_str()),
            Col::from(self.own.execution_id.as_str()),
            Col::from(&self.own.deployment_id),
            Col::from(self.state.as_str()),
            Col::from(self.operation_type.as_str()),
            Col::from(self.name.as_str()),
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
            let tenant = scope(e.scope.as_ref()).tenant;
            for operation in &e.operations {
                needs.key(View::Operations, scoped(&tenant, &operation.id));
            }
        }
        Event::OperationsAdded(e) => {
            let tenant = scope(e.scope.as_ref()).tenant;
            for operation in &e.operations {
                needs.key(View::Operations, scoped(&tenant, &operation.id));
            }
        }
        Event::OperationsChanged(e) => {
            for change in &e.changes {
                needs.key(View::Operations, scoped(&e.tenant, &change.id));
            }
        }
        Event::OperationClaimed(e) => needs.key(View::Operations, scoped(&e.tenant, &e.id)),
        Event::OperationDeleted(e) => needs.key(View::Operations, scoped(&e.tenant, &e.id)),
        Event::ExecutionDeleted(e) => needs.link(View::Operations, "execution_id", &e.id),
        Event::DeploymentDeleted(e) => needs.link(View::Operations, "deployment_id", &e.id),
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::TasksGraphCreated(e) => {
            let scope = scope(e.scope.as_ref());
            add(rows, &scope, &e.execution_id, &e.id, &e.operations)?;
        }
        Event::OperationsAdded(e) => {
            let scope = scope(e.scope.as_ref());
            add(rows, &scope, &e.execution_id, &e.graph_id, &e.operations)?;
        }
        Event::OperationsChanged(e) => {
            for change in &e.changes {
                let mut operation: Operation = rows.expect(&scoped(&e.tenant, &change.id))?;
                apply(&mut operation, change)?;
                rows.put(&operation)?;
            }
        }
        Event::OperationClaimed(e) => {
            let mut operation: Operation = rows.expect(&scoped(&e.tenant, &e.id))?;
            operation.own.claim = Some(Claim {
                token: e.token_digest.clone(),
                message: e.message.clone(),
                run: e.run.clone(),
            });
            rows.put(&operation)?;
        }
        Event::OperationDeleted(e) => rows.remove(View::Operations, &scoped(&e.tenant, &e.id)),
        Event::ExecutionDeleted(e) => {
            let found = rows.find(View::Operations, "execution_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::Operations, &key);
            }
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::Operations, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::Operations, &key);
            }
        }
        _ => {}
    }
    Ok(())
}

fn apply(operation: &mut Operation, change: &OperationChange) -> Result<(), Error> {
    operation.state.clone_from(&change.state);
    operation.own.finished |= is_terminal(&change.state);
    if !(is_begun(&change.state) || is_terminal(&change.state)) {
        operation.own.claim = None;
    }
    operation.manager_name.clone_from(&change.manager_name);
    operation.agent_name.clone_from(&change.agent_name);
    if let Some(parameters) = &change.parameters_json {
        operation.parameters = json(parameters)?;
    }
    if change.result_json.is_some() {
        operation.own.result_json.clone_from(&change.result_json);
    }
    if change.exception.is_some() {
        operation.own.exception.clone_from(&change.exception);
    }
    Ok(())
}

fn add(
    rows: &mut Rows,
    scope: &Scope,
    execution_id: &str,
    graph_id: &str,
    operations: &[OperationEvent],
) -> Result<(), Error> {
    let execution: Execution = rows.expect(&scoped(&scope.tenant, execution_id))?;
    for operation in operations {
        let mut added = Operation {
            created_at: wire(operation.created_at_ms),
            id: operation.id.clone(),
            name: operation.name.clone(),
            state: operation.state.clone(),
            dependencies: operation.dependencies.clone(),
            operation_type: operation.r#type.clone(),
            parameters: json(&operation.parameters_json)?,
            manager_name: None,
            agent_name: None,
            tasks_graph_id: graph_id.to_owned(),
            own: Own {
                created_at_ms: operation.created_at_ms,
                execution_id: execution_id.to_owned(),
                deployment_id: execution.deployment_id.clone(),
                finished: is_terminal(&operation.state),
                result_json: None,
                exception: None,
                claim: None,
            },
            visibility: String::new(),
            tenant_name: scope.tenant.clone(),
            created_by: scope.created_by.clone(),
            resource_availability: String::new(),
            private_resource: false,
        };
        added.set_visibility(&scope.visibility);
        rows.put(&added)?;
    }
    Ok(())
}
