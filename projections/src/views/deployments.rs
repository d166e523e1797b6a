//! Deployments. What changes with their instances and executions (counts of operations, of drifted
//! and of unavailable instances) is not in the stored document: readers append it.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stratalog_schema::{
    Event,
    events::{DeploymentChanged, DeploymentCreated, Label as LabelEvent},
    time::wire,
};

use super::{
    Json, Label,
    blueprints::set,
    hierarchy::{self, Below, Parent},
    inter_deployment_dependencies::{self, CONSUMER_LABEL},
    json, scope, scoped,
};
use crate::{
    Error,
    owned::{Null, owned_doc},
    rows::{Needs, Rows},
    view::{COMMON, Col, Column, Def, Field, Kind, Owner, Resource, View},
};

pub(crate) static DEF: Def = Def {
    name: "deployments",
    version: 4,
    columns: &[
        Column::plain("created_at", Kind::Int),
        Column::sorted("updated_at", Kind::Int),
        Column::plain("id", Kind::Text),
        Column::sorted("display_name", Kind::Text),
        Column::linked("blueprint_id"),
        Column::plain("site_name", Kind::Text),
        Column::plain("installation_status", Kind::Text),
        Column::plain("deployment_status", Kind::Text),
        Column::plain("labels", Kind::Texts),
    ],
    fields: &FIELDS,
};

static FIELDS: [Field; 50] = {
    let [c0, c1, c2, c3, c4] = COMMON;
    [
        Field::col("created_at", Kind::Int, "created_at"),
        Field::col("id", Kind::Text, "id"),
        Field::doc("description", Kind::Text),
        Field::doc("inputs_p", Kind::Json),
        Field::doc("inputs", Kind::Json),
        Field::doc("groups_p", Kind::Json),
        Field::doc("groups", Kind::Json),
        Field::doc("permalink", Kind::Text),
        Field::doc("policy_triggers_p", Kind::Json),
        Field::doc("policy_triggers", Kind::Json),
        Field::doc("policy_types_p", Kind::Json),
        Field::doc("policy_types", Kind::Json),
        Field::doc("outputs_p", Kind::Json),
        Field::doc("outputs", Kind::Json),
        Field::doc("capabilities_p", Kind::Json),
        Field::doc("capabilities", Kind::Json),
        Field::doc("scaling_groups_p", Kind::Json),
        Field::doc("scaling_groups", Kind::Json),
        Field::col("updated_at", Kind::Int, "updated_at"),
        Field::doc("workflows_p", Kind::Json),
        Field::doc("workflows", Kind::Json),
        Field::doc("runtime_only_evaluation", Kind::Bool),
        Field::col("installation_status", Kind::Text, "installation_status"),
        Field::col("deployment_status", Kind::Text, "deployment_status"),
        Field::doc("sub_services_status", Kind::Text),
        Field::doc("sub_environments_status", Kind::Text),
        Field::doc("sub_services_count", Kind::Int),
        Field::doc("sub_environments_count", Kind::Int),
        Field::col("display_name", Kind::Text, "display_name"),
        Field::doc("resource_tags", Kind::Json),
        Field::doc("drifted_instances", Kind::Json),
        Field::doc("unavailable_instances", Kind::Json),
        Field::doc("latest_execution", Kind::Text),
        Field::doc("latest_execution_finished_operations", Kind::Json),
        Field::doc("latest_execution_total_operations", Kind::Json),
        Field::doc("latest_execution_workflow_id", Kind::Text),
        Field::doc("create_execution", Kind::Text),
        Field::col("blueprint_id", Kind::Text, "blueprint_id"),
        Field::col("site_name", Kind::Text, "site_name"),
        Field::doc("latest_execution_status", Kind::Text),
        Field::doc("environment_type", Kind::Text),
        Field::doc("has_sub_deployments", Kind::Bool),
        c0,
        c1,
        c2,
        c3,
        c4,
        Field::doc("workdir_zip", Kind::Json),
        Field::doc("labels", Kind::Json),
        Field::doc("deployment_groups", Kind::Json),
    ]
};

owned_doc! {
    /// A deployment.
    pub struct Deployment {
        /// Creation.
        pub created_at: String,
        /// Its id.
        pub id: String,
        /// From its blueprint.
        pub description: Option<String>,
        /// Always null.
        pub inputs_p: Null,
        /// Input values.
        pub inputs: Option<Json>,
        /// Always null.
        pub groups_p: Null,
        /// Policy groups.
        pub groups: Option<Json>,
        /// Always null.
        pub permalink: Null,
        /// Always null.
        pub policy_triggers_p: Null,
        /// From its plan.
        pub policy_triggers: Option<Json>,
        /// Always null.
        pub policy_types_p: Null,
        /// From its plan.
        pub policy_types: Option<Json>,
        /// Always null.
        pub outputs_p: Null,
        /// Unevaluated outputs.
        pub outputs: Option<Json>,
        /// Always null.
        pub capabilities_p: Null,
        /// Unevaluated capabilities.
        pub capabilities: Option<Json>,
        /// Always null.
        pub scaling_groups_p: Null,
        /// From its plan.
        pub scaling_groups: Option<Json>,
        /// Latest change.
        pub updated_at: Option<String>,
        /// Always null.
        pub workflows_p: Null,
        /// Name to specification; stored beside the document.
        #[serde(skip)]
        pub workflows: Option<Json>,
        /// What everything but a single read shows: one empty workflow where there are any.
        #[serde(rename = "workflows")]
        pub workflows_summary: Option<[WorkflowSummary; 1]>,
        /// Whether functions are evaluated at run time only.
        pub runtime_only_evaluation: bool,
        /// `active` or `inactive`.
        pub installation_status: String,
        /// `good`, `in_progress` or `requires_attention`.
        pub deployment_status: String,
        /// Worst status of its services.
        pub sub_services_status: Option<String>,
        /// Worst status of its environments.
        pub sub_environments_status: Option<String>,
        /// Services below it.
        pub sub_services_count: i64,
        /// Environments below it.
        pub sub_environments_count: i64,
        /// Name for people.
        pub display_name: String,
        /// Tags for resources it creates.
        pub resource_tags: Option<Json>,
        /// Its latest execution.
        pub latest_execution: Option<String>,
        /// Workflow of its latest execution.
        pub latest_execution_workflow_id: Option<String>,
        /// The execution that created it.
        pub create_execution: Option<String>,
        /// Its blueprint.
        pub blueprint_id: String,
        /// Its site.
        pub site_name: Option<String>,
        /// Summary of the latest execution's status.
        pub latest_execution_status: Option<String>,
        /// Value of the label `csys-env-type`.
        pub environment_type: String,
        /// Whether anything is below it.
        pub has_sub_deployments: bool,
        /// Its labels.
        pub labels: Vec<Label>,
        /// What is not served.
        #[serde(skip)]
        pub own: Own,
    }
}

/// A workflow of which nothing is said.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WorkflowSummary {
    name: Null,
    plugin: Null,
    operation: Null,
    parameters: Null,
    is_cascading: Null,
    is_available: Null,
    availability_rules: Null,
}

/// What of a deployment is not served as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Own {
    /// Creation; milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Latest change; milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// How it is itself, whatever is below it.
    #[serde(default)]
    pub status: String,
    /// What is below it.
    #[serde(default, skip_serializing_if = "Below::is_nothing")]
    pub below: Below,
    /// Who counts it among what is below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted_in: Vec<Parent>,
}

/// What is stored beside the document.
#[derive(Serialize, Deserialize)]
struct Hidden<'a> {
    own: Cow<'a, Own>,
    workflows: Cow<'a, Option<Json>>,
}

impl Resource for Deployment {
    const VIEW: View = View::Deployments;

    fn key(&self) -> String {
        scoped(&self.tenant_name, &self.id)
    }

    fn owner(&self) -> Owner {
        self.owned_by()
    }

    fn columns(&self) -> Vec<Col> {
        vec![
            Col::Int(Some(self.own.created_at_ms)),
            Col::Int(Some(self.own.updated_at_ms)),
            Col::from(self.id.as_str()),
            Col::from(self.display_name.as_str()),
            Col::from(self.blueprint_id.as_str()),
            Col::from(&self.site_name),
            Col::from(self.installation_status.as_str()),
            Col::from(self.deployment_status.as_str()),
            Col::Texts(Label::column(&self.labels)),
        ]
    }

    fn hidden(&self) -> Result<Option<String>, serde_json::Error> {
        serde_json::to_string(&Hidden {
            own: Cow::Borrowed(&self.own),
            workflows: Cow::Borrowed(&self.workflows),
        })
        .map(Some)
    }

    fn restore_hidden(&mut self, hidden: &str) -> Result<(), serde_json::Error> {
        let hidden: Hidden<'_> = serde_json::from_str(hidden)?;
        self.own = hidden.own.into_owned();
        self.workflows = hidden.workflows.into_owned();
        Ok(())
    }
}

pub(crate) fn needs(event: &Event, needs: &mut Needs) {
    let (tenant, id) = match event {
        Event::DeploymentCreated(e) => (scope(e.scope.as_ref()).tenant, &e.id),
        Event::DeploymentChanged(e) => (e.tenant.clone(), &e.id),
        Event::DeploymentDeleted(e) => (e.tenant.clone(), &e.id),
        _ => return,
    };
    needs.key(View::Deployments, scoped(&tenant, id));
    let labels = match event {
        Event::DeploymentCreated(e) => &e.labels[..],
        Event::DeploymentChanged(DeploymentChanged {
            labels: Some(labels),
            ..
        }) => &labels.labels[..],
        _ => return,
    };
    // who is a consumer of its parents for another reason, too, stays one
    inter_deployment_dependencies::siblings(needs, Some(id));
    for label in labels {
        if label.key == hierarchy::PARENT_LABEL {
            needs.key(View::Deployments, scoped(&tenant, &label.value));
        }
    }
}

pub(crate) fn fold(event: &Event, rows: &mut Rows) -> Result<(), Error> {
    match event {
        Event::DeploymentCreated(e) => hierarchy::put(rows, None, created(e)),
        Event::DeploymentChanged(e) => {
            let before: Deployment = rows.expect(&scoped(&e.tenant, &e.id))?;
            let mut after = before.clone();
            after.change(e)?;
            hierarchy::put(rows, Some(&before), after)
        }
        Event::DeploymentDeleted(e) => {
            let key = scoped(&e.tenant, &e.id);
            let before: Option<Deployment> = rows.get(&key)?;
            rows.remove(View::Deployments, &key);
            before.map_or(Ok(()), |before| hierarchy::removed(rows, &before))
        }
        _ => Ok(()),
    }
}

fn created(e: &DeploymentCreated) -> Deployment {
    let scope = scope(e.scope.as_ref());
    let labels = Label::all(&e.labels);
    let mut deployment = Deployment {
        created_at: wire(e.created_at_ms),
        id: e.id.clone(),
        description: None,
        inputs_p: (),
        inputs: None,
        groups_p: (),
        groups: None,
        permalink: (),
        policy_triggers_p: (),
        policy_triggers: None,
        policy_types_p: (),
        policy_types: None,
        outputs_p: (),
        outputs: None,
        capabilities_p: (),
        capabilities: None,
        scaling_groups_p: (),
        scaling_groups: None,
        updated_at: Some(wire(e.created_at_ms)),
        workflows_p: (),
        workflows: None,
        workflows_summary: None,
        runtime_only_evaluation: e.runtime_only_evaluation,
        installation_status: "inactive".to_owned(),
        deployment_status: e.deployment_status.clone(),
        sub_services_status: None,
        sub_environments_status: None,
        sub_services_count: 0,
        sub_environments_count: 0,
        display_name: e.display_name.clone(),
        resource_tags: None,
        latest_execution: None,
        latest_execution_workflow_id: None,
        create_execution: e.create_execution.clone(),
        blueprint_id: e.blueprint_id.clone(),
        site_name: e.site_name.clone(),
        latest_execution_status: None,
        environment_type: environment_type(&labels),
        has_sub_deployments: false,
        labels,
        own: Own {
            created_at_ms: e.created_at_ms,
            updated_at_ms: e.created_at_ms,
            status: e.deployment_status.clone(),
            ..Own::default()
        },
        visibility: String::new(),
        tenant_name: scope.tenant,
        created_by: scope.created_by,
        resource_availability: String::new(),
        private_resource: false,
    };
    deployment.set_visibility(&scope.visibility);
    deployment.sum_up();
    deployment
}

fn environment_type(labels: &[Label]) -> String {
    labels
        .iter()
        .find(|label| label.key == "csys-env-type")
        .map(|label| label.value.clone())
        .unwrap_or_default()
}

/// Labels that tell who uses a deployment come and go with dependencies alone: one that was
/// attached after a new set had been put together stays.
fn kept_consumers(deployment: &Deployment, new: &[LabelEvent]) -> Vec<Label> {
    let is_new = |label: &Label| {
        new.iter()
            .all(|l| l.key != label.key || l.value != label.value)
    };
    let before = deployment.labels.iter();
    before
        .filter(|label| label.key == CONSUMER_LABEL && is_new(label))
        .cloned()
        .collect()
}

impl Deployment {
    /// The deployment after a change.
    ///
    /// # Errors
    /// `EventDocument` for documents that are no JSON.
    pub fn change(&mut self, e: &DeploymentChanged) -> Result<(), Error> {
        documents(self, e)?;
        set(&mut self.description, &e.description);
        set(&mut self.create_execution, &e.create_execution);
        if e.latest_execution.is_some() {
            self.latest_execution.clone_from(&e.latest_execution);
            self.latest_execution_status
                .clone_from(&e.latest_execution_status);
            self.latest_execution_workflow_id
                .clone_from(&e.latest_execution_workflow_id);
        }
        text(&mut self.display_name, &e.display_name);
        text(&mut self.blueprint_id, &e.blueprint_id);
        text(&mut self.installation_status, &e.installation_status);
        text(&mut self.own.status, &e.deployment_status);
        text(&mut self.created_by, &e.created_by);
        if let Some(site) = &e.site_name {
            self.site_name = Some(site.clone()).filter(|site| !site.is_empty());
        }
        if let Some(flag) = e.runtime_only_evaluation {
            self.runtime_only_evaluation = flag;
        }
        if let Some(visibility) = &e.visibility {
            self.set_visibility(visibility);
        }
        if let Some(labels) = &e.labels {
            let kept = kept_consumers(self, &labels.labels);
            self.labels = Label::all(&labels.labels);
            self.labels.extend(kept);
            self.environment_type = environment_type(&self.labels);
        }
        if let Some(at_ms) = e.created_at_ms {
            self.created_at = wire(at_ms);
            self.own.created_at_ms = at_ms;
        }
        self.updated_at = Some(wire(e.updated_at_ms));
        self.own.updated_at_ms = e.updated_at_ms;
        self.sum_up();
        Ok(())
    }

    /// Shows what is below it.
    pub(super) fn sum_up(&mut self) {
        let summary = self.own.below.all();
        self.deployment_status = hierarchy::worst(&self.own.status, &summary);
        self.sub_services_status = summary.services_status.map(str::to_owned);
        self.sub_environments_status = summary.environments_status.map(str::to_owned);
        self.sub_services_count = summary.services;
        self.sub_environments_count = summary.environments;
        self.has_sub_deployments = summary.services + summary.environments > 0;
    }
}

fn text(field: &mut String, change: &Option<String>) {
    if let Some(change) = change {
        field.clone_from(change);
    }
}

fn documents(deployment: &mut Deployment, e: &DeploymentChanged) -> Result<(), Error> {
    for (field, change) in [
        (&mut deployment.inputs, &e.inputs_json),
        (&mut deployment.groups, &e.groups_json),
        (&mut deployment.policy_triggers, &e.policy_triggers_json),
        (&mut deployment.policy_types, &e.policy_types_json),
        (&mut deployment.outputs, &e.outputs_json),
        (&mut deployment.capabilities, &e.capabilities_json),
        (&mut deployment.scaling_groups, &e.scaling_groups_json),
        (&mut deployment.workflows, &e.workflows_json),
        (&mut deployment.resource_tags, &e.resource_tags_json),
    ] {
        if let Some(change) = change {
            *field = json(change)?;
        }
    }
    deployment.workflows_summary = deployment
        .workflows
        .as_ref()
        .map(|_| [WorkflowSummary::default()]);
    Ok(())
}
