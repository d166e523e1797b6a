//! Where plugins are installed: what people ask for, and what workers report.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::views::plugins::Plugin;
use stratalog_schema::{Event, events::PluginStateChanged};

use super::{MODEL, stream};
use crate::{
    auth::{Caller, Permission},
    broker::{
        Message,
        topology::{SERVICE_EXCHANGE, SERVICE_ROUTING_KEY},
        wire::{ServiceTask, service::INSTALL_PLUGIN},
    },
    commands::{agents, tokens, visibility},
    context::Context,
    error::{Error, ErrorCode},
    store::Decision,
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

/// Notes that a plugin is to be installed, and tells the workers.
///
/// # Errors
/// 400 for another action, and for agents, which install what their operations need by themselves;
/// 403, 404 for unknown managers and agents; `Unavailable` when the workers cannot be told.
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
    let (_, document) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let row = visibility::own(caller, view, MODEL, id).await?;
            let plugin: Plugin = row.resource()?;
            if let Some(agent) = asked.agents.first() {
                caller.get(view, agents::MODEL, agent).await?;
                return Err(Error::refused(
                    ErrorCode::IllegalAction,
                    "Agents install a plugin when the first operation needs it",
                ));
            }
            let stream = stream(&plugin.tenant_name, &plugin.package_name);
            let mut decision = Decision::nothing();
            for manager in &asked.managers {
                let event = PluginStateChanged {
                    id: id.to_owned(),
                    tenant: plugin.tenant_name.clone(),
                    manager: Some(manager.clone()),
                    state: PENDING.to_owned(),
                    ..PluginStateChanged::default()
                };
                decision.event(stream.clone(), Event::PluginStateChanged(event));
            }
            Ok((decision, row.doc))
        })
        .await?;
    if asked.managers.is_empty() {
        return Ok(());
    }
    tell(ctx, caller, INSTALL_PLUGIN, (&document, &asked.managers)).await
}

/// Broadcasts a service task about a plugin to the managers' workers, with a token of the caller's
/// that they may ask for its archive with.
pub(super) async fn tell(
    ctx: &Context,
    caller: &Caller,
    task: &str,
    (document, managers): (&str, &[String]),
) -> Result<(), Error> {
    let Some(broker) = &ctx.broker else {
        return Err(Error::Unavailable(
            "no message broker is configured".to_owned(),
        ));
    };
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
    let message = Message {
        exchange: SERVICE_EXCHANGE.to_owned(),
        routing_key: SERVICE_ROUTING_KEY.to_owned(),
        body: ServiceTask::new(task, kwargs)
            .to_body()
            .to_string()
            .into_bytes(),
        reply_to: None,
        correlation_id: None,
        expiration_ms: None,
        mandatory: false,
    };
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
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let plugin: Plugin = visibility::own(caller, view, MODEL, id).await?.resource()?;
            if let Some(agent) = &report.agent {
                caller.get(view, agents::MODEL, agent).await?;
            }
            let stream = stream(&plugin.tenant_name, &plugin.package_name);
            let event = PluginStateChanged {
                id: id.to_owned(),
                tenant: plugin.tenant_name,
                manager: report.manager.clone(),
                agent: report.agent.clone(),
                state: report.state.clone(),
                error: report.error.clone(),
            };
            let mut decision = Decision::nothing();
            decision.event(stream, Event::PluginStateChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
