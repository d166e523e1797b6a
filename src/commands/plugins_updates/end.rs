//! The end of an update of plugins, in the same append as that of its execution.
use stratalog_projections::views::{
    blueprints::Blueprint,
    deployments::Deployment,
    executions::{Execution, is_end},
    plugins_updates::PluginsUpdate,
    scoped,
};
use stratalog_schema::{
    Event,
    events::{BlueprintChanged, DeploymentChanged, PluginsUpdateEnded},
};

use super::{FAILED, SUCCESSFUL, UPDATING, WORKFLOW, deployments_of, of_execution, stream};
use crate::{
    clock,
    commands::{blueprints, deployments},
    error::Error,
    store::{Decision, View},
};

/// What the end of an execution means for the update behind it: where all deployments follow the
/// hidden blueprint, the blueprint itself gets its plan and they go back to it; otherwise the
/// hidden one is shown, if any deployment follows it.
///
/// # Errors
/// Database errors.
pub(crate) async fn ended(
    view: &View,
    execution: &Execution,
    decision: &mut Decision,
) -> Result<(), Error> {
    if execution.workflow_id != WORKFLOW || !is_end(&execution.status) {
        return Ok(());
    }
    let update = of_execution(view, execution).await?;
    let Some(update) = update.filter(|update| update.state == UPDATING) else {
        return Ok(());
    };
    let temp = update.temp_blueprint_id.as_deref().unwrap_or_default();
    let (mut following, mut is_any_left) = (Vec::new(), false);
    for (tenant, id) in deployments_of(&update)? {
        let deployment: Option<Deployment> = view.get(&scoped(&tenant, &id)).await?;
        // one that was deleted meanwhile needs nothing
        let Some(deployment) = deployment else {
            continue;
        };
        match deployment.blueprint_id == temp {
            true => following.push(deployment),
            false => is_any_left = true,
        }
    }
    let tenant = update.tenant_name.as_str();
    let is_done = execution.status == "terminated" && !is_any_left;
    let keeps = !is_done && !following.is_empty();
    if is_done {
        go_back(decision, (view, &update, temp), &following).await?;
    }
    if keeps {
        shown(decision, (tenant, temp));
    } else {
        blueprints::deleted(decision, tenant, temp);
    }
    let state = if is_done { SUCCESSFUL } else { FAILED };
    let event = PluginsUpdateEnded {
        id: update.id.clone(),
        tenant: tenant.to_owned(),
        state: state.to_owned(),
        keeps_temp_blueprint: keeps,
    };
    decision.event(stream(tenant, &update.id), Event::PluginsUpdateEnded(event));
    Ok(())
}

async fn go_back(
    decision: &mut Decision,
    (view, update, temp): (&View, &PluginsUpdate, &str),
    following: &[Deployment],
) -> Result<(), Error> {
    let tenant = update.tenant_name.as_str();
    let temp: Blueprint = blueprints::load(view, tenant, temp).await?;
    let text = |json: &Option<Box<serde_json::value::RawValue>>| {
        json.as_ref().map(|json| json.get().to_owned())
    };
    let changed = BlueprintChanged {
        id: update.blueprint_id.clone(),
        tenant: tenant.to_owned(),
        updated_at_ms: clock::now_ms(),
        plan_json: text(&temp.plan),
        requirements_json: text(&temp.requirements),
        ..BlueprintChanged::default()
    };
    decision.event(
        blueprints::stream(tenant, &update.blueprint_id),
        Event::BlueprintChanged(changed),
    );
    for deployment in following {
        let changed = DeploymentChanged {
            id: deployment.id.clone(),
            tenant: deployment.tenant_name.clone(),
            updated_at_ms: deployment.own.updated_at_ms,
            blueprint_id: Some(update.blueprint_id.clone()),
            ..DeploymentChanged::default()
        };
        decision.event(
            deployments::stream(&deployment.tenant_name, &deployment.id),
            Event::DeploymentChanged(changed),
        );
    }
    Ok(())
}

fn shown(decision: &mut Decision, (tenant, id): (&str, &str)) {
    let changed = BlueprintChanged {
        id: id.to_owned(),
        tenant: tenant.to_owned(),
        updated_at_ms: clock::now_ms(),
        is_hidden: Some(false),
        ..BlueprintChanged::default()
    };
    decision.event(
        blueprints::stream(tenant, id),
        Event::BlueprintChanged(changed),
    );
}
