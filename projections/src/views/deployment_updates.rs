//! Updates of deployments: how they came to another blueprint or to other inputs.
use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{DeploymentUpdateChanged, DeploymentUpdateStarted, DeploymentUpdateStep},
    time::wire,
};

use super::{Json, json, nodes::of_tenant, scope, scoped};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

/// State of one that is being prepared.
const UPDATING: &str = "updating";
/// State of one that has changed the deployment, and whose workflow goes on.
const EXECUTING: &str = "executing_workflow";
/// State of one that did not come to its end.
const FAILED: &str = "failed";

pub(crate) static DEF: Def = Def {
    name: "deployment_updates",
    version: 1,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::plain("state", Kind::Text),
        Column::linked("deployment_id"),
        Column::linked("execution_id"),
        Column::plain("old_blueprint_id", Kind::Text),
        Column::plain("new_blueprint_id", Kind::Text),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 36] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("created_at", Kind::Int, "created_at"),
        Field::col("id", Kind::Text, "id"),
        Field::doc("deployment_plan_p", Kind::Json),
        Field::doc("deployment_plan", Kind::Json),
        Field::doc("deployment_update_node_instances_p", Kind::Json),
        Field::doc("deployment_update_node_instances", Kind::Json),
        Field::doc("deployment_update_deployment_p", Kind::Json),
        Field::doc("central_plugins_to_uninstall_p", Kind::Json),
        Field::doc("central_plugins_to_uninstall", Kind::Json),
        Field::doc("central_plugins_to_install_p", Kind::Json),
        Field::doc("central_plugins_to_install", Kind::Json),
        Field::doc("deployment_update_nodes_p", Kind::Json),
        Field::doc("deployment_update_nodes", Kind::Json),
        Field::doc("modified_entity_ids_p", Kind::Json),
        Field::doc("modified_entity_ids", Kind::Json),
        Field::doc("old_inputs_p", Kind::Json),
        Field::doc("old_inputs", Kind::Json),
        Field::doc("new_inputs_p", Kind::Json),
        Field::doc("new_inputs", Kind::Json),
        Field::col("state", Kind::Text, "state"),
        Field::doc("runtime_only_evaluation", Kind::Bool),
        Field::doc("keep_old_deployment_dependencies", Kind::Bool),
        Field::col("deployment_id", Kind::Text, "deployment_id"),
        Field::col("execution_id", Kind::Text, "execution_id"),
        Field::col("old_blueprint_id", Kind::Text, "old_blueprint_id"),
        Field::col("new_blueprint_id", Kind::Text, "new_blueprint_id"),
        Field::doc("steps", Kind::Json),
        Field::doc("recursive_dependencies", Kind::Json),
        Field::doc("schedules_to_create", Kind::Json),
        Field::doc("schedules_to_delete", Kind::Json),
        Field::doc("labels_to_create", Kind::Json),
        c0,
        c1,
        c2,
        c3,
        c4,
    ]
};

owned_doc! {
    /// An update of a deployment.
    pub struct DeploymentUpdate {
        /// Its start.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// Always null.
        pub deployment_plan_p: Null,
        /// The prepared plan that the deployment is to follow.
        pub deployment_plan: Option<Json>,
        /// Always null.
        pub deployment_update_node_instances_p: Null,
        /// Which instances it adds, extends, reduces and removes.
        pub deployment_update_node_instances: Option<Json>,
        /// Always null.
        pub deployment_update_deployment_p: Null,
        /// Always null.
        pub central_plugins_to_uninstall_p: Null,
        /// Plugins of the manager that nothing needs any more.
        pub central_plugins_to_uninstall: Option<Json>,
        /// Always null.
        pub central_plugins_to_install_p: Null,
        /// Plugins of the manager that are new.
        pub central_plugins_to_install: Option<Json>,
        /// Always null.
        pub deployment_update_nodes_p: Null,
        /// Which nodes it adds and removes, and what of others it changes.
        pub deployment_update_nodes: Option<Json>,
        /// Always null.
        pub modified_entity_ids_p: Null,
        /// Ids of what changes, by kind.
        pub modified_entity_ids: Option<Json>,
        /// Always null.
        pub old_inputs_p: Null,
        /// Inputs before it.
        pub old_inputs: Option<Json>,
        /// Always null.
        pub new_inputs_p: Null,
        /// Inputs after it.
        pub new_inputs: Option<Json>,
        /// `updating`, `executing_workflow`, `successful` or `failed`.
        pub state: String,
        /// Whether functions are evaluated at run time only.
        pub runtime_only_evaluation: Option<bool>,
        /// Whether dependencies on other deployments stay as they are.
        pub keep_old_deployment_dependencies: bool,
        /// The deployment.
        pub deployment_id: String,
        /// The execution behind it.
        pub execution_id: Option<String>,
        /// The blueprint before it.
        pub old_blueprint_id: Option<String>,
        /// The blueprint after it.
        pub new_blueprint_id: Option<String>,
        /// What it adds, removes and changes, one by one.
        pub steps: Vec<Step>,
        /// Of a preview: deployments that depend on this one.
        pub recursive_dependencies: Option<Json>,
        /// Of a preview: schedules there would be.
        pub schedules_to_create: Option<Json>,
        /// Of a preview: schedules that would go.
        pub schedules_to_delete: Option<Json>,
        /// Of a preview: labels the deployment would gain.
        pub labels_to_create: Option<Json>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// One thing an update adds, removes or changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// That of the update.
    pub visibility: String,
    /// `add`, `remove` or `modify`.
    pub action: String,
    /// The way to the entity.
    pub entity_id: Vec<String>,
    /// What kind of thing it is.
    pub entity_type: String,
    /// Nodes that others depend on come first.
    pub topology_order: i64,
    /// The update.
    pub deployment_update_id: String,
    /// That of the update.
    pub tenant_name: String,
    /// That of the update.
    pub created_by: String,
    /// Older name of `visibility`.
    pub resource_availability: String,
    /// Oldest form of `visibility`.
    pub private_resource: bool,
}

/// What of an update is not served.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Its start; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Whether what it takes down is gone.
    pub is_removed: bool,
}

impl Resource for DeploymentUpdate {
    const VIEW: View = View::DeploymentUpdates;

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
            Col::from(self.state.as_str()),
            Col::from(self.deployment_id.as_str()),
            Col::from(&self.execution_id),
            Col::from(&self.old_blueprint_id),
            Col::from(&self.new_blueprint_id),
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

impl DeploymentUpdate {
    /// Whether it has changed the deployment already, or never will.
    pub fn is_prepared(&self) -> bool {
        self.deployment_update_node_instances.is_some()
    }

    fn step(&self, step: &DeploymentUpdateStep) -> Step {
        Step {
            id: step.id.clone(),
            visibility: self.visibility.clone(),
            action: step.action.clone(),
            entity_id: step.entity_id.clone(),
            entity_type: step.entity_type.clone(),
            topology_order: step.topology_order,
            deployment_update_id: self.id.clone(),
            tenant_name: self.tenant_name.clone(),
            created_by: self.created_by.clone(),
            resource_availability: self.resource_availability.clone(),
            private_resource: self.private_resource,
        }
    }

    fn change(&mut self, e: &DeploymentUpdateChanged) -> Result<(), Error> {
        self.own.is_removed |= e.removed;
        if let Some(state) = &e.state {
            self.state.clone_from(state);
        }
        if let Some(steps) = &e.steps {
            self.steps = steps.steps.iter().map(|step| self.step(step)).collect();
        }
        for (field, change) in [
            (&mut self.deployment_plan, &e.deployment_plan_json),
            (&mut self.deployment_update_nodes, &e.nodes_json),
            (
                &mut self.deployment_update_node_instances,
                &e.node_instances_json,
            ),
            (&mut self.modified_entity_ids, &e.modified_entity_ids_json),
            (
                &mut self.central_plugins_to_install,
                &e.central_plugins_to_install_json,
            ),
            (
                &mut self.central_plugins_to_uninstall,
                &e.central_plugins_to_uninstall_json,
            ),
            (
                &mut self.recursive_dependencies,
                &e.recursive_dependencies_json,
            ),
            (&mut self.schedules_to_create, &e.schedules_to_create_json),
            (&mut self.schedules_to_delete, &e.schedules_to_delete_json),
            (&mut self.labels_to_create, &e.labels_to_create_json),
        ] {
            if let Some(change) = change {
                *field = json(change)?;
            }
        }
        Ok(())
    }
}

/// What the end, or the new beginning, of an execution makes of its update: tenant, execution, and
/// whether it ended badly.
fn of_execution(event: &Event) -> Option<(&str, &str, bool)> {
    match event {
        Event::ExecutionStatusChanged(e) if matches!(e.status.as_str(), FAILED | "cancelled") => {
            Some((&e.tenant, &e.id, true))
        }
        Event::ExecutionResumed(e) => Some((&e.tenant, &e.id, false)),
        _ => None,
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let key = match event {
        Event::DeploymentUpdateStarted(e) => scoped(&scope(e.scope.as_ref()).tenant, &e.id),
        Event::DeploymentUpdateChanged(e) => scoped(&e.tenant, &e.id),
        Event::DeploymentDeleted(e) => {
            needs.link(View::DeploymentUpdates, "deployment_id", &e.id);
            return;
        }
        other => {
            if let Some((_, id, _)) = of_execution(other) {
                needs.link(View::DeploymentUpdates, "execution_id", id);
            }
            return;
        }
    };
    needs.key(View::DeploymentUpdates, key);
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::DeploymentUpdateStarted(e) => rows.put(&started(e)?),
        Event::DeploymentUpdateChanged(e) => {
            let mut update: DeploymentUpdate = rows.expect(&scoped(&e.tenant, &e.id))?;
            update.change(e)?;
            rows.put(&update)
        }
        Event::DeploymentDeleted(e) => {
            let found = rows.find(View::DeploymentUpdates, "deployment_id", &e.id);
            for key in of_tenant(found, &e.tenant) {
                rows.remove(View::DeploymentUpdates, &key);
            }
            Ok(())
        }
        other => match of_execution(other) {
            Some(of) => execution_changed(rows, of),
            None => Ok(()),
        },
    }
}

fn execution_changed(
    rows: &mut Rows,
    (tenant, id, is_over): (&str, &str, bool),
) -> Result<(), Error> {
    let found = rows.find(View::DeploymentUpdates, "execution_id", id);
    for key in of_tenant(found, tenant) {
        let mut update: DeploymentUpdate = rows.expect(&key)?;
        let state = match (is_over, update.state.as_str()) {
            (true, UPDATING | EXECUTING) => FAILED,
            (false, FAILED) if update.is_prepared() => EXECUTING,
            (false, FAILED) => UPDATING,
            _ => continue,
        };
        state.clone_into(&mut update.state);
        rows.put(&update)?;
    }
    Ok(())
}

fn started(e: &DeploymentUpdateStarted) -> Result<DeploymentUpdate, Error> {
    let scope = scope(e.scope.as_ref());
    let mut update = DeploymentUpdate {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        deployment_plan_p: (),
        deployment_plan: None,
        deployment_update_node_instances_p: (),
        deployment_update_node_instances: None,
        deployment_update_deployment_p: (),
        central_plugins_to_uninstall_p: (),
        central_plugins_to_uninstall: None,
        central_plugins_to_install_p: (),
        central_plugins_to_install: None,
        deployment_update_nodes_p: (),
        deployment_update_nodes: None,
        modified_entity_ids_p: (),
        modified_entity_ids: None,
        old_inputs_p: (),
        old_inputs: json(&e.old_inputs_json)?,
        new_inputs_p: (),
        new_inputs: json(&e.new_inputs_json)?,
        state: e.state.clone(),
        runtime_only_evaluation: e.runtime_only_evaluation,
        keep_old_deployment_dependencies: e.keep_old_deployment_dependencies,
        deployment_id: e.deployment_id.clone(),
        execution_id: e.execution_id.clone(),
        old_blueprint_id: e.old_blueprint_id.clone(),
        new_blueprint_id: e.new_blueprint_id.clone(),
        steps: Vec::new(),
        recursive_dependencies: None,
        schedules_to_create: None,
        schedules_to_delete: None,
        labels_to_create: None,
        own: Own {
            created_at_ms: e.created_at_ms,
            is_removed: false,
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    update.set_visibility(&scope.visibility);
    Ok(update)
}
