//! `stratalogd agent`: what a host is called with.
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use figment::providers::Serialized;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::setup::{Setup, setup};
use crate::{
    config::{AgentSettings, Hidden},
    telemetry,
};

/// Arguments of `stratalogd agent`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    options: Options,
}

/// Flags go before the environment (`STRATALOG_AGENT_…`), that before the file.
#[derive(Debug, Args, Serialize)]
struct Options {
    /// JSON file with settings, as `setup` writes it
    #[arg(long, env = "STRATALOG_AGENT_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// The agent's name
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its exchange, if it is not called as the agent is
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    /// Operations at once
    #[arg(long, value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_operations: Option<u16>,
    /// Where the agent keeps its files
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    work_dir: Option<PathBuf>,
    /// What is logged: info, stratalog=debug,warn…
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask a manager for the agent's settings, and write them to agent.json in its directory
    Setup(SetupArguments),
}

#[derive(Debug, Args)]
struct SetupArguments {
    /// The agent's name
    #[arg(long)]
    name: String,
    /// Tenant it belongs to
    #[arg(long)]
    tenant_name: String,
    /// Managers' names or addresses
    #[arg(long, value_delimiter = ',', required = true)]
    rest_hosts: Vec<String>,
    /// Managers' port for agents
    #[arg(long, default_value_t = 53333)]
    rest_port: u16,
    /// PEM file with certificates that managers' may be signed with; without it there is no TLS
    #[arg(long, value_name = "FILE")]
    rest_ca_path: Option<PathBuf>,
    /// Token of the execution that installs the agent
    #[arg(long, env = "STRATALOG_AGENT_TOKEN", hide_env_values = true)]
    rest_token: String,
    /// Which of RabbitMQ's addresses this host reaches
    #[arg(long, default_value = "default")]
    network: String,
    /// Where the agent keeps its files
    #[arg(long, value_name = "DIR")]
    agent_dir: PathBuf,
    /// Python with the plugins' libraries
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Operations at once
    #[arg(long, value_name = "NUMBER")]
    max_workers: Option<u16>,
}

impl From<SetupArguments> for Setup {
    fn from(given: SetupArguments) -> Self {
        Self {
            name: given.name,
            tenant: given.tenant_name,
            rest_hosts: given.rest_hosts,
            rest_port: given.rest_port,
            rest_ca_file: given.rest_ca_path,
            token: Hidden(given.rest_token),
            network: given.network,
            work_dir: given.agent_dir,
            python: given.python,
            max_operations: given.max_workers,
        }
    }
}

/// Sets an agent up, or runs it until `cancel`.
///
/// # Errors
/// What the agent cannot start without.
pub async fn main(arguments: Arguments, cancel: CancellationToken) -> anyhow::Result<()> {
    let Arguments { action, options } = arguments;
    if let Some(Action::Setup(given)) = action {
        telemetry::log("warn", crate::config::LogFormat::Text)?;
        let written = setup(&given.into()).await?;
        tracing::info!(file = %written.display(), "the agent is set up");
        return Ok(());
    }
    let file = options.config.clone();
    let load = || {
        let flags = Serialized::defaults(&options);
        AgentSettings::load(options.config.as_deref(), flags).context("the agent's settings")
    };
    let settings = load()?;
    telemetry::log(&settings.log, settings.log_format)?;
    super::run(file, load, cancel).await
}
