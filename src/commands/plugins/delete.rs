//! Deleting a plugin, unless blueprints need it.
use serde::Deserialize;
use stratalog_projections::{
    ListQuery, Scope, View,
    views::{
        agents::Agent,
        blueprints::Blueprint,
        plugins::{Installation, Plugin, directory},
        scoped,
    },
};
use stratalog_schema::{Event, events::PluginDeleted};

use super::{MODEL, install, stream};
use crate::{
    auth::{Caller, Permission},
    broker::wire::service::UNINSTALL_PLUGIN,
    commands::{blueprints, visibility::require_own},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// States in which there is something to remove.
const INSTALLED: [&str; 3] = ["installed", "installing", "error"];

/// Deletes a plugin with its files; workers that have it installed are told.
///
/// # Errors
/// 403, 404; 400 for a global one of another tenant; 405 while a blueprint needs it, unless forced.
pub async fn delete(ctx: &Context, caller: &Caller, id: &str, force: bool) -> Result<(), Error> {
    caller.require(Permission::PluginDelete)?;
    let (_, (document, plugin, agents)) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = caller.get(view, MODEL, id).await?;
            let plugin: Plugin = row.resource()?;
            require_own(caller, id, &plugin.tenant_name)?;
            if !force {
                refuse_used(view, &plugin).await?;
            }
            let stream = stream(&plugin.tenant_name, &plugin.package_name);
            let mut decision = Decision::nothing();
            decision.rests_on(view, stream.clone()).await?;
            let event = PluginDeleted {
                id: id.to_owned(),
                tenant: plugin.tenant_name.clone(),
            };
            decision.event(stream, Event::PluginDeleted(event));
            blueprints::remove_tree(&mut decision, &directory(id));
            let agents = agents_of(view, &plugin).await?;
            Ok((decision, (row.doc, plugin, agents)))
        })
        .await?;
    let managers: Vec<String> = installed(&plugin)
        .filter_map(|one| one.manager.clone())
        .collect();
    let workers = install::Workers {
        managers: &managers,
        agents: &agents,
    };
    let told = install::tell(ctx, caller, UNINSTALL_PLUGIN, (&document, workers)).await;
    if let Err(error) = told {
        // the plugin is gone, and what is left of it on workers does no harm
        tracing::warn!(plugin = id, %error, "workers were not told to remove a plugin");
    }
    Ok(())
}

fn installed(plugin: &Plugin) -> impl Iterator<Item = &Installation> {
    let all = plugin.installation_state.iter();
    all.filter(|one| INSTALLED.contains(&one.state.as_str()))
}

/// The agents that have a plugin, as far as they are still there.
async fn agents_of(view: &Reader, plugin: &Plugin) -> Result<Vec<Agent>, Error> {
    let mut agents = Vec::new();
    for name in installed(plugin).filter_map(|one| one.agent.as_deref()) {
        agents.extend(
            view.get::<Agent>(&scoped(&plugin.tenant_name, name))
                .await?,
        );
    }
    Ok(agents)
}

/// The parts of a plan that name plugins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Plan {
    deployment_plugins_to_install: Vec<Wanted>,
    workflow_plugins_to_install: Vec<Wanted>,
    host_agent_plugins_to_install: Vec<Wanted>,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    package_name: Option<String>,
    package_version: Option<String>,
}

async fn refuse_used(view: &Reader, plugin: &Plugin) -> Result<(), Error> {
    let all = ListQuery::all(View::Blueprints, Scope::Everything);
    let mut users = Vec::new();
    for blueprint in view.select_as::<Blueprint>(&all).await? {
        let may_use = plugin.visibility == "global" || blueprint.tenant_name == plugin.tenant_name;
        if may_use && uses(&blueprint, plugin)? {
            users.push(blueprint.id);
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::PluginInUse,
        format!(
            "Plugin \"{}\" is currently in use in blueprints: {}. You can \"force\" plugin \
             removal.",
            plugin.id,
            users.join(", ")
        ),
    ))
}

fn uses(blueprint: &Blueprint, plugin: &Plugin) -> Result<bool, Error> {
    let Some(plan) = &blueprint.plan else {
        return Ok(false);
    };
    let plan: Plan = serde_json::from_str(plan.get()).map_err(Error::internal)?;
    let wanted = [
        plan.deployment_plugins_to_install,
        plan.workflow_plugins_to_install,
        plan.host_agent_plugins_to_install,
    ];
    Ok(wanted.iter().flatten().any(|wanted| {
        wanted.package_name.as_ref() == Some(&plugin.package_name)
            && wanted.package_version.as_ref() == Some(&plugin.package_version)
    }))
}
