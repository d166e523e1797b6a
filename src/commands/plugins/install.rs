//! Where plugins are installed: what people ask for, and what workers report.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::views::{agents::Agent, plugins::Plugin};
use stratalog_schema::{Event, events::PluginStateChanged};

use super::{MODEL, stream};
use crate::{
    auth::{Caller, Permission},
    broker::{
        Broker, Message,
        topology::{SERVICE_EXCHANGE, SERVICE_ROUTING_KEY},
        wire::{ServiceTask, service::INSTALL_PLUGIN},
    },
    commands::{agents, tokens, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// What an installation can be.
const STATES: [&str; 7] = [
    "pending-install",
    "installing",
    "installed",
    "error",
    "pending-uninstall",
    "uninstalling",
    "uninstalled",
];
const PENDING: &str = "pending-install";
/// How long a worker that is told to install a plugin may take before its token is void.
const TOKEN_LIFE: &str = "+1h";

/// The body of `POST /plugins/{id}`.
#[derive(Debug, Deserialize)]
pub struct Install {
    /// `install`; there is nothing else.
    pub action: String,
    /// Host names of managers.
    #[serde(default)]
    pub managers: Vec<String>,
    /// Names of agents.
    #[serde(default)]
    pub agents: Vec<String>,
}

/// What a worker reports: the body of `PUT /plugins/{id}`.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// One of the known states.
    pub state: String,
    /// The manager it is about, or
    pub manager: Option<String>,
    /// the agent it is about.
    pub agent: Option<String>,
    /// Why it is `error`.
    pub error: Option<String>,
}

/// Notes that a plugin is to be installed, and tells the workers of managers and agents. An agent
/// that cannot be told, because it has no queue, has not installed it.
///
/// # Errors
/// 400 for another action; 403, 404 for unknown managers and agents; `Unavailable` when the workers
/// cannot be told.
pub async fn install(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    asked: &Install,
) -> Result<(), Error> {
    caller.require(Permission::PluginUpload)?;
    if asked.action != "install" {
        return Err(Error::refused(
            ErrorCode::UnknownAction,
            format!("Unknown action: {}", asked.action),
        ));
    }
    let own = ctx.settings.manager_name();
    if let Some(unknown) = asked.managers.iter().find(|name| **name != own) {
        return Err(Error::not_found("Manager", unknown));
    }
    let (_, (document, agents)) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = visibility::own(caller, view, MODEL, id).await?;
            let plugin: Plugin = row.resource()?;
            let agents = known(view, caller, &asked.agents).await?;
            let mut decision = Decision::nothing();
            let managers = asked.managers.iter().map(|name| (Some(name.clone()), None));
            let hosts = agents.iter().map(|agent| (None, Some(agent.name.clone())));
            for (manager, agent) in managers.chain(hosts) {
                let state = PENDING.to_owned();
                let event = PluginStateChanged {
                    manager,
                    agent,
                    ..changed(&plugin, state)
                };
                let stream = stream(&plugin.tenant_name, &plugin.package_name);
                decision.event(stream, Event::PluginStateChanged(event));
            }
            Ok((decision, (row.doc, agents)))
        })
        .await?;
    let workers = Workers {
        managers: &asked.managers,
        agents: &agents,
    };
    let untold = tell(ctx, caller, INSTALL_PLUGIN, (&document, workers)).await?;
    for agent in untold {
        let report = Report {
            state: "error".to_owned(),
            manager: None,
            agent: Some(agent),
            error: Some("The agent has no queue to be told in".to_owned()),
        };
        note(ctx, caller, id, &report).await?;
    }
    Ok(())
}

fn changed(plugin: &Plugin, state: String) -> PluginStateChanged {
    PluginStateChanged {
        id: plugin.id.clone(),
        tenant: plugin.tenant_name.clone(),
        state,
        ..PluginStateChanged::default()
    }
}

/// Agents by their names, each once.
async fn known(view: &View, caller: &Caller, names: &[String]) -> Result<Vec<Agent>, Error> {
    let mut agents: Vec<Agent> = Vec::new();
    for name in names {
        if agents.iter().all(|agent| agent.name != *name) {
            let row = visibility::own(caller, view, agents::MODEL, name).await?;
            agents.push(row.resource()?);
        }
    }
    Ok(agents)
}

/// Whose workers are told something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workers<'a> {
    /// Host names of managers.
    pub(super) managers: &'a [String],
    /// Agents, of the caller's tenant.
    pub(super) agents: &'a [Agent],
}

/// Sends a service task about a plugin to workers, with a token of the caller's that they may ask
/// for its archive with: a broadcast to the managers', and one message to each agent. Gives the
/// names of agents that have no queue.
///
/// # Errors
/// `Unavailable` without a message broker.
pub(super) async fn tell(
    ctx: &Context,
    caller: &Caller,
    task: &str,
    (document, workers): (&str, Workers<'_>),
) -> Result<Vec<String>, Error> {
    let Workers { managers, agents } = workers;
    if managers.is_empty() && agents.is_empty() {
        return Ok(Vec::new());
    }
    let missing = || Error::Unavailable("no message broker is configured".to_owned());
    let broker = ctx.broker.as_ref().ok_or_else(missing)?;
    let description = format!("Plugins task {task} rest token.");
    let (_, token) = tokens::create(ctx, caller, Some(description), Some(TOKEN_LIFE)).await?;
    let plugin: Value = serde_json::from_str(document).map_err(Error::internal)?;
    let kwargs = json!({
        "plugin": plugin,
        "rest_host": [ctx.settings.advertised_host],
        "rest_port": ctx.settings.internal_listen.port(),
        "rest_token": token,
        "tenant": {"name": caller.tenant()?},
        "target": managers,
    });
    let kwargs: Map<String, Value> = serde_json::from_value(kwargs).map_err(Error::internal)?;
    let body = ServiceTask::new(task, kwargs).to_body();
    if !managers.is_empty() {
        broadcast(broker, &body).await?;
    }
    let mut untold = Vec::new();
    for agent in agents {
        let tenants = ctx.tenants.as_ref().ok_or_else(missing)?;
        if !agents::tell(tenants, agent, &body).await? {
            untold.push(agent.name.clone());
        }
    }
    Ok(untold)
}

/// Tells the workers of all managers.
async fn broadcast(broker: &Broker, body: &Value) -> Result<(), Error> {
    let message = Message::document(SERVICE_EXCHANGE, SERVICE_ROUTING_KEY, body);
    let sent = broker.publish(&message).await;
    sent.map_err(|error| Error::Unavailable(error.to_string()))
}

/// Notes how an installation stands.
///
/// # Errors
/// 400 for a state that is none, 403, 404; 409 unless it is about one manager or one agent.
pub async fn report(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    report: &Report,
) -> Result<(), Error> {
    caller.require_or_execution(Permission::PluginUpload)?;
    if !STATES.contains(&report.state.as_str()) {
        return Err(Error::bad_parameters(format!(
            "Invalid plugin state: {}. Possible states are: {}",
            report.state,
            STATES.join(", ")
        )));
    }
    if report.manager.is_some() == report.agent.is_some() {
        return Err(Error::refused(
            ErrorCode::Conflict,
            "Expected exactly one of: agent, manager",
        ));
    }
    note(ctx, caller, id, report).await
}

async fn note(ctx: &Context, caller: &Caller, id: &str, report: &Report) -> Result<(), Error> {
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let plugin: Plugin = visibility::own(caller, view, MODEL, id).await?.resource()?;
            if let Some(agent) = &report.agent {
                caller.get(view, agents::MODEL, agent).await?;
            }
            let stream = stream(&plugin.tenant_name, &plugin.package_name);
            let event = PluginStateChanged {
                manager: report.manager.clone(),
                agent: report.agent.clone(),
                error: report.error.clone(),
                ..changed(&plugin, report.state.clone())
            };
            let mut decision = Decision::nothing();
            decision.event(stream, Event::PluginStateChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
