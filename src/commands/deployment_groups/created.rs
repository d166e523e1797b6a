//! Deployments that a group creates: their ids and names from templates, their inputs and labels
//! from the group.
use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::views::blueprints::Blueprint;
use stratalog_schema::{
    Event,
    events::{DeploymentGroupChanged, ExecutionGroupCreated, Scope},
};
use uuid::Uuid;

use super::{CONCURRENCY, change::Changing, change::extended, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints,
        deployments::{self, CREATE_WORKFLOW, CreateDeployment, NewEnvironment},
        execution_groups, ids, labels, own_execution,
    },
    error::{Error, ErrorCode},
    store::View,
};

/// A deployment that a group is to create.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NewMember {
    /// Its id, or a template of it.
    pub id: Option<String>,
    /// Its inputs, over those of the group.
    pub inputs: Option<Map<String, Value>>,
    /// Its labels, beside those of the group.
    pub labels: Option<Value>,
    /// Its name for people, or a template of it.
    pub display_name: Option<String>,
    /// Its site.
    pub site_name: Option<String>,
    /// Leave every function to be evaluated at run time.
    pub runtime_only_evaluation: Option<bool>,
    /// Do not look whether its plugins are there.
    pub skip_plugins_validation: Option<bool>,
}

/// What templates are filled with.
struct Variables<'a> {
    group_id: &'a str,
    blueprint_id: &'a str,
    site_name: &'a str,
    uuid: String,
    count: i64,
}

impl Variables<'_> {
    fn fill(&self, template: &str) -> String {
        template
            .replace("{group_id}", self.group_id)
            .replace("{blueprint_id}", self.blueprint_id)
            .replace("{site_name}", self.site_name)
            .replace("{uuid}", &self.uuid)
            .replace("{count}", &self.count.to_string())
    }
}

/// Adds the creation of deployments, with a group of executions that makes their environments.
pub(super) async fn create(
    view: &View,
    caller: &Caller,
    changing: &mut Changing,
    new: &[Option<NewMember>],
) -> Result<(), Error> {
    caller.require(Permission::DeploymentCreate)?;
    let group = &changing.group;
    let (tenant, group_id) = (group.tenant_name.clone(), group.id.clone());
    let blueprint_id = group.default_blueprint_id.clone().unwrap_or_default();
    let row = caller.get(view, blueprints::MODEL, &blueprint_id).await?;
    let template = id_template(&row.resource()?)?;
    let scope = Scope {
        tenant: tenant.clone(),
        visibility: group.visibility.clone(),
        created_by: caller.username.clone(),
    };
    let executions = own_execution::new_id();
    changing
        .decision
        .events
        .push(execution_groups::created(ExecutionGroupCreated {
            id: executions.clone(),
            scope: Some(scope.clone()),
            workflow_id: CREATE_WORKFLOW.to_owned(),
            concurrency: i64::try_from(CONCURRENCY).map_err(Error::internal)?,
            deployment_group_id: Some(group_id.clone()),
            created_at_ms: clock::now_ms(),
        }));
    let mut made = Vec::with_capacity(new.len());
    for (at, member) in new.iter().enumerate() {
        let member = member.clone().unwrap_or_default();
        changing.group.creation_counter += 1;
        let deployment = deployment(changing, &member, template.as_deref())?;
        let environment = NewEnvironment {
            execution: own_execution::new_id(),
            is_queued: at >= CONCURRENCY,
            group: Some(executions.clone()),
        };
        made.push(deployment.id.clone());
        let into = (&mut changing.decision, &deployment);
        deployments::add(view, caller, into, (&scope, Some(&environment))).await?;
    }
    let counted = DeploymentGroupChanged {
        id: group_id.clone(),
        tenant: tenant.clone(),
        creation_counter: Some(changing.group.creation_counter),
        ..DeploymentGroupChanged::default()
    };
    let of = stream(&tenant, &group_id);
    changing
        .decision
        .event(of, Event::DeploymentGroupChanged(counted));
    changing
        .decision
        .events
        .push(extended((&tenant, &group_id), made));
    Ok(())
}

/// How the blueprint wants its deployments to be called.
fn id_template(blueprint: &Blueprint) -> Result<Option<String>, Error> {
    let plan = blueprint.plan.as_ref().map_or("{}", |plan| plan.get());
    let plan: Value = serde_json::from_str(plan).map_err(Error::internal)?;
    let template = plan.pointer("/deployment_settings/id_template");
    let Some(template) = template.and_then(Value::as_str) else {
        return Ok(None);
    };
    if template.contains("{uuid}") || template.contains("{count}") {
        return Ok(Some(template.to_owned()));
    }
    Err(Error::refused(
        ErrorCode::Conflict,
        format!("The id template `{template}` has neither {{uuid}} nor {{count}} in it"),
    ))
}

#[allow(
    clippy::disallowed_methods,
    reason = "identities are minted where commands are made"
)]
fn deployment(
    changing: &Changing,
    member: &NewMember,
    template: Option<&str>,
) -> Result<CreateDeployment, Error> {
    let group = &changing.group;
    let variables = Variables {
        group_id: &group.id,
        blueprint_id: group.default_blueprint_id.as_deref().unwrap_or_default(),
        site_name: member.site_name.as_deref().unwrap_or_default(),
        uuid: Uuid::new_v4().to_string(),
        count: group.creation_counter,
    };
    let template = member.id.as_deref().or(template);
    let id = variables.fill(template.unwrap_or("{group_id}-{uuid}"));
    ids::check_any_start("deployment_id", &id)?;
    let mut inputs: Map<String, Value> = match &group.default_inputs {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
        None => Map::new(),
    };
    inputs.extend(member.inputs.clone().unwrap_or_default());
    let given = member.labels.as_ref().map(labels::parse).transpose()?;
    let mut wanted = given.unwrap_or_default();
    for label in &changing.labels {
        if !wanted.iter().any(|other| labels::is_same(label, other)) {
            wanted.push(label.clone());
        }
    }
    let name = member.display_name.as_deref();
    Ok(CreateDeployment {
        id,
        blueprint_id: variables.blueprint_id.to_owned(),
        inputs,
        display_name: name.map(|name| variables.fill(name)),
        labels: wanted,
        site_name: member.site_name.clone(),
        runtime_only_evaluation: member.runtime_only_evaluation.unwrap_or(false),
        skip_plugins_validation: member.skip_plugins_validation.unwrap_or(false),
        ..CreateDeployment::default()
    })
}
