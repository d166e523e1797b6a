//! The start of an update of plugins.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{
    At, Condition, ListQuery, Scope as Visible, View as ViewName,
    views::{blueprints::Blueprint, deployments::Deployment, plugins_updates::PluginsUpdate},
};
use stratalog_schema::{
    Event,
    events::{BlueprintChanged, BlueprintCreated, File, PluginsUpdateStarted, Scope},
};

use super::{Choice, MODEL, NOTHING, UPDATING, WORKFLOW, choice::Wishes, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints, deployments,
        executions::{self, NewExecution},
        labels, own_execution, visibility,
    },
    context::Context,
    dsl::{self, Plan},
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// An update somebody asks for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Initiate {
    #[serde(flatten)]
    wishes: Wishes,
    /// Pass over another update of the blueprint that goes on.
    pub force: Option<bool>,
    /// Inputs of another type are converted.
    pub auto_correct_types: Option<bool>,
    /// Taken for older clients: states of updates here follow from their executions at once.
    pub reevaluate_active_statuses: Option<bool>,
    /// Deployments of all tenants.
    pub all_tenants: Option<bool>,
    #[serde(flatten)]
    restored: Restored,
}

/// What a restored update brings with it; nothing is run then.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Restored {
    update_id: Option<String>,
    created_by: Option<String>,
    created_at: Option<Value>,
    execution_id: Option<String>,
    state: Option<String>,
    affected_deployments: Option<Vec<String>>,
    deployments_per_tenant: Option<Map<String, Value>>,
    temp_blueprint_id: Option<String>,
}

/// Starts an update of the plugins of a blueprint's deployments; its id.
///
/// # Errors
/// 403, 404; 400 for a blueprint that is not uploaded or does not parse with other plugins; 409
/// while another update goes on.
pub async fn initiate(
    ctx: &Context,
    caller: &Caller,
    (blueprint_id, new): (&str, &Initiate),
) -> Result<String, Error> {
    caller.require(Permission::PluginsUpdateCreate)?;
    let view = ctx.store.read(At::Now).await?;
    let row = visibility::own(caller, &view, blueprints::MODEL, blueprint_id).await?;
    let blueprint: Blueprint = row.resource()?;
    drop(view.finish().await?);
    if new.restored.state.is_some() {
        return restore(ctx, caller, (&blueprint, new)).await;
    }
    if blueprint.state != "uploaded" {
        return Err(Error::bad_parameters(format!(
            "Plugins of the blueprint {blueprint_id} cannot be updated: it is not `uploaded` but \
             `{}`",
            blueprint.state
        )));
    }
    let plan = deployments::plan_of(&blueprint)?;
    let choice = Choice::new(new.wishes.clone(), &plan)?;
    let (files, wanted) =
        blueprints::parsed_anew(ctx, caller, (&blueprint, choice.clone())).await?;
    let is_needed = !choice.is_present(&wanted);
    let id = own_execution::new_id();
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            require_idle(view, &blueprint, new.force == Some(true)).await?;
            let start = Start {
                caller,
                blueprint: &blueprint,
                id: &id,
                new,
            };
            let decision = match is_needed {
                true => start.needed(view, (&files, &wanted)).await?,
                false => start.unneeded(view).await?,
            };
            Ok((decision, ()))
        })
        .await?;
    Ok(id)
}

async fn require_idle(view: &View, blueprint: &Blueprint, force: bool) -> Result<(), Error> {
    let any = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    let query = ListQuery::all(MODEL.0, Visible::Everything)
        .with(any("blueprint_id", &blueprint.id))
        .with(any("tenant_name", &blueprint.tenant_name))
        .with(any("state", UPDATING));
    let others: Vec<PluginsUpdate> = view.select_as(&query).await?;
    if others.is_empty() || force {
        return Ok(());
    }
    let ids: Vec<String> = others.into_iter().map(|other| other.id).collect();
    Err(Error::refused(
        ErrorCode::Conflict,
        format!(
            "There are plugins updates still active; update IDs: {}",
            ids.join(", ")
        ),
    ))
}

struct Start<'a> {
    caller: &'a Caller,
    blueprint: &'a Blueprint,
    id: &'a str,
    new: &'a Initiate,
}

impl Start<'_> {
    fn is_everywhere(&self) -> bool {
        self.new.all_tenants == Some(true)
    }

    fn event(&self, state: &str) -> PluginsUpdateStarted {
        PluginsUpdateStarted {
            id: self.id.to_owned(),
            scope: Some(Scope {
                tenant: self.blueprint.tenant_name.clone(),
                visibility: self.blueprint.visibility.clone(),
                created_by: self.caller.username.clone(),
            }),
            blueprint_id: self.blueprint.id.clone(),
            created_at_ms: clock::now_ms(),
            state: state.to_owned(),
            deployments_per_tenant_json: "null".to_owned(),
            forced: self.new.force == Some(true),
            all_tenants: self.is_everywhere(),
            ..PluginsUpdateStarted::default()
        }
    }

    fn execution(&self, parameters: Map<String, Value>) -> Result<NewExecution, Error> {
        let caller = self.caller.in_tenant(&self.blueprint.tenant_name);
        NewExecution::pending(&caller, WORKFLOW, parameters)
    }

    fn put(&self, decision: &mut Decision, event: PluginsUpdateStarted) {
        let of = stream(&self.blueprint.tenant_name, self.id);
        decision.event(of, Event::PluginsUpdateStarted(event));
    }

    /// No plugin gets another version: the execution has ended before it began.
    async fn unneeded(&self, view: &View) -> Result<Decision, Error> {
        let mut decision = Decision::nothing();
        let mut execution = self.execution(Map::new())?;
        let at_ms = execution.event_mut().created_at_ms;
        execution.event_mut().status = "terminated".to_owned();
        execution.event_mut().started_at_ms = Some(at_ms);
        execution.event_mut().ended_at_ms = Some(at_ms);
        let mut event = self.event(NOTHING);
        event.execution_id = Some(execution.id().to_owned());
        decision
            .rests_on(view, stream(&self.blueprint.tenant_name, self.id))
            .await?;
        self.put(&mut decision, event);
        decision.events.push(execution.into_event());
        Ok(decision)
    }

    /// The hidden blueprint, the execution and the update.
    async fn needed(
        &self,
        view: &View,
        (files, plan): (&[(String, File)], &Plan),
    ) -> Result<Decision, Error> {
        let blueprint = self.blueprint;
        let other = executions::active_anywhere(view, true).await?;
        if let Some(other) = other.filter(|other| other.workflow_id != WORKFLOW) {
            return Err(Error::refused(
                ErrorCode::ExistingRunningExecution,
                format!(
                    "You cannot start this execution because the execution {} of the workflow {} \
                     goes on",
                    other.id, other.workflow_id
                ),
            ));
        }
        let now = chrono::DateTime::from_timestamp_millis(clock::now_ms()).unwrap_or_default();
        let moment = now.format("%Y%m%dT%H%M%S%.6f");
        let temp = format!("plugins-update-{moment}-{}", blueprint.id);
        let mut decision = Decision::nothing();
        let of = blueprints::stream(&blueprint.tenant_name, &temp);
        decision.rests_on(view, of.clone()).await?;
        self.copy(&mut decision, (&temp, plan));
        blueprints::unpacked(
            &mut decision,
            &blueprints::tree(&blueprint.tenant_name, &temp),
            files,
        );
        let per_tenant = self.deployments(view).await?;
        let own = per_tenant.get(&blueprint.tenant_name);
        let own: Vec<String> = own.cloned().unwrap_or_default();
        let mut event = self.event(UPDATING);
        event.temp_blueprint_id = Some(temp.clone());
        let mut parameters = json!({
            "update_id": self.id,
            "temp_blueprint_id": temp,
            "deployments_to_update": own,
            "deployments_per_tenant": null,
            "force": event.forced,
            "auto_correct_types": self.new.auto_correct_types == Some(true),
            "reevaluate_active_statuses": self.new.reevaluate_active_statuses == Some(true),
        });
        if self.is_everywhere() {
            event.deployments_per_tenant_json = json!(per_tenant).to_string();
            parameters["deployments_to_update"] = Value::Null;
            parameters["deployments_per_tenant"] = json!(per_tenant);
        } else {
            event.deployments_to_update = own;
        }
        let Value::Object(parameters) = parameters else {
            return Ok(decision);
        };
        let execution = self.execution(parameters)?;
        event.execution_id = Some(execution.id().to_owned());
        self.put(&mut decision, event);
        decision.events.push(execution.into_event());
        Ok(decision)
    }

    fn copy(&self, decision: &mut Decision, (temp, plan): (&str, &Plan)) {
        let blueprint = self.blueprint;
        let tenant = &blueprint.tenant_name;
        let now_ms = clock::now_ms();
        let of = blueprints::stream(tenant, temp);
        let kept = labels::kept(&blueprint.labels);
        let created = BlueprintCreated {
            id: temp.to_owned(),
            scope: Some(Scope {
                tenant: tenant.clone(),
                visibility: blueprint.visibility.clone(),
                created_by: blueprint.created_by.clone(),
            }),
            state: "uploaded".to_owned(),
            main_file_name: blueprint.main_file_name.clone(),
            created_at_ms: now_ms,
            upload_execution: None,
            labels: labels::replaced(&blueprint.labels, &kept, (now_ms, &blueprint.created_by)),
            is_hidden: true,
        };
        decision.event(of.clone(), Event::BlueprintCreated(created));
        let changed = BlueprintChanged {
            id: temp.to_owned(),
            tenant: tenant.clone(),
            updated_at_ms: now_ms,
            description: blueprint.description.clone(),
            plan_json: Some(Value::from(plan.clone()).to_string()),
            requirements_json: plan.section("requirements").map(dsl::Value::to_string),
            ..BlueprintChanged::default()
        };
        decision.event(of, Event::BlueprintChanged(changed));
    }

    /// Deployments of the blueprint, by tenant.
    async fn deployments(&self, view: &View) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let query = ListQuery::all(ViewName::Deployments, Visible::Everything).with(
            Condition::AnyOf("blueprint_id".to_owned(), vec![self.blueprint.id.clone()]),
        );
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for deployment in view.select_as::<Deployment>(&query).await? {
            let is_own = deployment.tenant_name == self.blueprint.tenant_name;
            let is_global = self.blueprint.visibility == "global" && self.is_everywhere();
            if is_own || is_global {
                let ids = found.entry(deployment.tenant_name).or_default();
                ids.push(deployment.id);
            }
        }
        Ok(found)
    }
}

async fn restore(
    ctx: &Context,
    caller: &Caller,
    (blueprint, new): (&Blueprint, &Initiate),
) -> Result<String, Error> {
    let restored = &new.restored;
    if restored.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    if restored.created_at.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    let id = restored.update_id.clone();
    let id = id.unwrap_or_else(own_execution::new_id);
    let created_at_ms = match &restored.created_at {
        Some(moment) => labels::moment(moment)?,
        None => None,
    };
    let start = Start {
        caller,
        blueprint,
        id: &id,
        new,
    };
    let mut event = start.event(restored.state.as_deref().unwrap_or(UPDATING));
    event.created_at_ms = created_at_ms.unwrap_or(event.created_at_ms);
    event
        .temp_blueprint_id
        .clone_from(&restored.temp_blueprint_id);
    event.execution_id.clone_from(&restored.execution_id);
    event.deployments_to_update = restored.affected_deployments.clone().unwrap_or_default();
    if let Some(per_tenant) = &restored.deployments_per_tenant {
        event.deployments_per_tenant_json = Value::Object(per_tenant.clone()).to_string();
    }
    if let (Some(scope), Some(creator)) = (&mut event.scope, &restored.created_by) {
        scope.created_by.clone_from(creator);
    }
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let mut decision = Decision::nothing();
            decision
                .rests_on(&view, stream(&blueprint.tenant_name, &id))
                .await?;
            start.put(&mut decision, event.clone());
            Ok((decision, ()))
        })
        .await?;
    Ok(id)
}
