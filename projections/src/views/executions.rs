//! Executions with their counters.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{ExecutionCreated, ExecutionStatusChanged, OperationsChanged},
    time::wire,
};

use super::{Json, json, nodes::of_tenant, operations, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "executions",
    version: 3,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::sorted("started_at", Kind::Int),
        Column::sorted("ended_at", Kind::Int),
        Column::plain("scheduled_for", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::linked("deployment_id"),
        Column::linked("status"),
        Column::sorted("workflow_id", Kind::Text),
        Column::sorted("blueprint_id", Kind::Text),
        Column::plain("is_system_workflow", Kind::Bool),
        Column::linked("token_sha256"),
        Column::plain("total_operations", Kind::Int),
        Column::plain("finished_operations", Kind::Int),
        Column::linked("execution_group_id"),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 26] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("created_at", Kind::Int, "created_at"),
        Field::col("id", Kind::Text, "id"),
        Field::col("ended_at", Kind::Int, "ended_at"),
        Field::doc("error", Kind::Text),
        Field::col("is_system_workflow", Kind::Bool, "is_system_workflow"),
        Field::doc("parameters_p", Kind::Json),
        Field::doc("parameters", Kind::Json),
        Field::col("status", Kind::Text, "status"),
        Field::col("workflow_id", Kind::Text, "workflow_id"),
        Field::col("started_at", Kind::Int, "started_at"),
        Field::col("scheduled_for", Kind::Int, "scheduled_for"),
        Field::doc("is_dry_run", Kind::Bool),
        Field::doc("resume", Kind::Bool),
        Field::col("total_operations", Kind::Int, "total_operations"),
        Field::col("finished_operations", Kind::Int, "finished_operations"),
        Field::doc("allow_custom_parameters", Kind::Bool),
        Field::col("blueprint_id", Kind::Text, "blueprint_id"),
        Field::doc("deployment_display_name", Kind::Text),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::doc("status_display", Kind::Text),
        // not in the document: lists are only filtered by it
        Field::col("execution_group_id", Kind::Text, "execution_group_id"),
        c0,
        c1,
        c2,
        c3,
        c4,
    ]
};

owned_doc! {
    /// An execution.
    pub struct Execution {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// End, once ended.
        pub ended_at: Option<String>,
        /// Null before the first report, empty after one without error.
        pub error: Option<String>,
        /// Whether default lists leave it out.
        pub is_system_workflow: bool,
        /// Always null.
        pub parameters_p: Null,
        /// Parameters with defaults applied.
        pub parameters: Option<Json>,
        /// Where it stands.
        pub status: String,
        /// Its workflow.
        pub workflow_id: String,
        /// Start, once started.
        pub started_at: Option<String>,
        /// When it is to start, if scheduled.
        pub scheduled_for: Option<String>,
        /// Whether operations are only pretended.
        pub is_dry_run: bool,
        /// Whether it goes on from an earlier attempt.
        pub resume: bool,
        /// Operations in its graphs.
        pub total_operations: i64,
        /// Those of them that ended.
        pub finished_operations: i64,
        /// Whether undeclared parameters were allowed.
        pub allow_custom_parameters: bool,
        /// Blueprint at creation.
        pub blueprint_id: Option<String>,
        /// Deployment's name for people.
        pub deployment_display_name: Option<String>,
        /// Its deployment.
        pub deployment_id: Option<String>,
        /// `status` in people's words.
        pub status_display: String,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// What of an execution is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Moments; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Start.
    pub started_at_ms: Option<i64>,
    /// End.
    pub ended_at_ms: Option<i64>,
    /// Planned start.
    pub scheduled_for_ms: Option<i64>,
    /// sha256 hex of the valid token.
    pub token_sha256: Option<String>,
    /// The token under the manager's key, in hex.
    #[serde(default)]
    pub sealed_token: Option<String>,
    /// Ignore conflicts and dependents.
    pub force: bool,
    /// Wait instead of refusing when another runs.
    pub queue: bool,
    /// How long running operations may still end after the first failure; seconds.
    pub wait_after_fail_s: i64,
    /// How often it was resumed.
    pub resumes: i64,
    /// The group it belongs to.
    #[serde(default)]
    pub execution_group_id: Option<String>,
}

impl Execution {
    /// Whether it has ended for good.
    pub fn is_ended(&self) -> bool {
        is_end(&self.status)
    }
}

/// `terminated`, `failed`, `cancelled`.
pub fn is_end(status: &str) -> bool {
    matches!(status, "terminated" | "failed" | "cancelled")
}

/// `pending`, `started` and the cancelling states.
pub fn is_active(status: &str) -> bool {
    matches!(
        status,
        "pending" | "started" | "cancelling" | "force_cancelling" | "kill_cancelling"
    )
}

fn display(status: &str) -> String {
    match status {
        "terminated" => "completed".to_owned(),
        other => other.to_owned(),
    }
}

impl Resource for Execution {
    const VIEW: View = View::Executions;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(self.own.started_at_ms),
            Col::Int(self.own.ended_at_ms),
            Col::Int(self.own.scheduled_for_ms),
            Col::from(self.id.as_str()),
            Col::from(&self.deployment_id),
            Col::from(self.status.as_str()),
            Col::from(self.workflow_id.as_str()),
            Col::from(&self.blueprint_id),
            Col::Bool(Some(self.is_system_workflow)),
            Col::from(&self.own.token_sha256),
            Col::Int(Some(self.total_operations)),
            Col::Int(Some(self.finished_operations)),
            Col::from(&self.own.execution_group_id),
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

/// Tenant and id of the execution an event speaks of.
pub(crate) fn named(event: &Event) -> Option<(String, &str)> {
    Some(match event {
        Event::ExecutionCreated(e) => (scope(e.scope.as_ref()).tenant, &e.id),
        Event::ExecutionStatusChanged(e) => (e.tenant.clone(), &e.id),
        Event::ExecutionTokenIssued(e) => (e.tenant.clone(), &e.id),
        Event::ExecutionResumed(e) => (e.tenant.clone(), &e.id),
        Event::ExecutionDeleted(e) => (e.tenant.clone(), &e.id),
        Event::TasksGraphCreated(e) => (scope(e.scope.as_ref()).tenant, &e.execution_id),
        Event::OperationsAdded(e) => (scope(e.scope.as_ref()).tenant, &e.execution_id),
        Event::OperationsChanged(e) => (e.tenant.clone(), &e.execution_id),
        Event::OperationDeleted(e) => (e.tenant.clone(), &e.execution_id),
        _ => return None,
    })
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    if let Some((tenant, id)) = named(event) {
        needs.key(View::Executions, scoped(&tenant, id));
    }
    match event {
        Event::DeploymentDeleted(e) => needs.link(View::Executions, "deployment_id", &e.id),
        Event::ExecutionsGrouped(e) => {
            for id in &e.execution_ids {
                needs.key(View::Executions, scoped(&e.tenant, id));
            }
        }
        _ => {}
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    if let Event::DeploymentDeleted(e) = event {
        let found = rows.find(View::Executions, "deployment_id", &e.id);
        for key in of_tenant(found, &e.tenant) {
            rows.remove(View::Executions, &key);
        }
        return Ok(());
    }
    if let Event::ExecutionsGrouped(e) = event {
        for id in &e.execution_ids {
            let mut execution: Execution = rows.expect(&scoped(&e.tenant, id))?;
            execution.own.execution_group_id = Some(e.id.clone());
            rows.put(&execution)?;
        }
        return Ok(());
    }
    let Some((tenant, id)) = named(event) else {
        return Ok(());
    };
    let key = scoped(&tenant, id);
    let mut execution: Execution = match event {
        Event::ExecutionCreated(e) => return rows.put(&created(e)?),
        Event::ExecutionDeleted(_) => {
            rows.remove(View::Executions, &key);
            return Ok(());
        }
        _ => rows.expect(&key)?,
    };
    match event {
        Event::ExecutionStatusChanged(e) => status_changed(&mut execution, e),
        Event::ExecutionTokenIssued(e) => {
            execution.own.token_sha256 = Some(e.token_sha256.clone());
            execution.own.sealed_token = (!e.sealed.is_empty()).then(|| hex::encode(&e.sealed));
        }
        Event::ExecutionResumed(_) => {
            execution.resume = true;
            execution.own.resumes += 1;
            execution.own.ended_at_ms = None;
            execution.ended_at = None;
        }
        Event::TasksGraphCreated(e) => count(&mut execution, &e.operations),
        Event::OperationsAdded(e) => count(&mut execution, &e.operations),
        Event::OperationsChanged(e) => {
            let finished = newly_finished(rows, &tenant, e)?;
            if finished == 0 {
                return Ok(());
            }
            execution.finished_operations += finished;
        }
        Event::OperationDeleted(e) => {
            let operation: Option<operations::Operation> = rows.get(&scoped(&tenant, &e.id))?;
            if let Some(operation) = operation.filter(operations::Operation::is_counted) {
                execution.total_operations -= 1;
                execution.finished_operations -= i64::from(operation.own.finished);
            }
        }
        _ => {}
    }
    rows.put(&execution)
}

/// Operations that this event ends for the first time. Runs before the operations' own fold.
fn newly_finished(rows: &Rows, tenant: &str, e: &OperationsChanged) -> Result<i64, Error> {
    let mut finished = 0;
    for change in e
        .changes
        .iter()
        .filter(|c| operations::is_terminal(&c.state))
    {
        let operation: Option<operations::Operation> = rows.get(&scoped(tenant, &change.id))?;
        let first =
            operation.is_some_and(|operation| operation.is_counted() && !operation.own.finished);
        finished += i64::from(first);
    }
    Ok(finished)
}

fn count(execution: &mut Execution, added: &[stratalog_schema::events::Operation]) {
    for operation in added.iter().filter(|o| operations::is_counted(&o.r#type)) {
        execution.total_operations += 1;
        execution.finished_operations += i64::from(operations::is_terminal(&operation.state));
    }
}

fn status_changed(execution: &mut Execution, e: &ExecutionStatusChanged) {
    execution.status.clone_from(&e.status);
    execution.status_display = display(&e.status);
    execution.error.clone_from(&e.error);
    if e.status == "started" {
        execution.own.started_at_ms = Some(e.at_ms);
        execution.started_at = Some(wire(e.at_ms));
    }
    if is_end(&e.status) {
        execution.own.ended_at_ms = Some(e.at_ms);
        execution.ended_at = Some(wire(e.at_ms));
    }
}

fn created(e: &ExecutionCreated) -> Result<Execution, Error> {
    let scope = scope(e.scope.as_ref());
    let mut execution = Execution {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        ended_at: e.ended_at_ms.map(wire),
        error: e.error.clone(),
        is_system_workflow: e.is_system_workflow,
        parameters_p: (),
        parameters: json(&e.parameters_json)?,
        status: e.status.clone(),
        workflow_id: e.workflow_id.clone(),
        started_at: e.started_at_ms.map(wire),
        scheduled_for: e.scheduled_for_ms.map(wire),
        is_dry_run: e.is_dry_run,
        resume: false,
        total_operations: 0,
        finished_operations: 0,
        allow_custom_parameters: e.allow_custom_parameters,
        blueprint_id: e.blueprint_id.clone(),
        deployment_display_name: e.deployment_display_name.clone(),
        deployment_id: e.deployment_id.clone(),
        status_display: display(&e.status),
        own: Own {
            created_at_ms: e.created_at_ms,
            started_at_ms: e.started_at_ms,
            ended_at_ms: e.ended_at_ms,
            scheduled_for_ms: e.scheduled_for_ms,
            token_sha256: None,
            sealed_token: None,
            force: e.force,
            queue: e.queue,
            wait_after_fail_s: e.wait_after_fail_s,
            resumes: 0,
            execution_group_id: e.execution_group_id.clone(),
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    execution.set_visibility(&scope.visibility);
    Ok(execution)
}
