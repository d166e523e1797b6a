//! `stratalogd agent setup`: writes an agent's settings on its host, with what managers say of it.
//! It runs once, with the token of the execution that installs the agent.
use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{rest_urls, write_secret};
use crate::{
    config::{AgentSettings, Hidden},
    worker::rest::{Rest, Session},
};

/// How long managers may be silent.
const RETRY_LIMIT: Duration = Duration::from_secs(120);
/// RabbitMQ's ports, without and with TLS.
const PORTS: (u16, u16) = (5672, 5671);

/// What the installer tells a host.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The agent's name.
    pub name: String,
    /// Tenant it belongs to.
    pub tenant: String,
    /// Managers' names or addresses.
    pub rest_hosts: Vec<String>,
    /// Managers' port for agents.
    pub rest_port: u16,
    /// Certificates that managers' may be signed with; without them there is no TLS.
    pub rest_ca_file: Option<PathBuf>,
    /// Token of the execution that installs the agent.
    pub token: Hidden,
    /// Which of RabbitMQ's addresses the host reaches.
    pub network: String,
    /// Where the agent keeps its files.
    pub work_dir: PathBuf,
    /// Python with the plugins' libraries.
    pub python: Option<PathBuf>,
    /// Operations at once.
    pub max_operations: Option<u16>,
}

/// Writes the settings; gives where they are.
///
/// # Errors
/// Managers that cannot be reached or do not know the agent, a directory that cannot be written.
pub async fn setup(setup: &Setup) -> anyhow::Result<PathBuf> {
    tokio::fs::create_dir_all(&setup.work_dir)
        .await
        .with_context(|| format!("cannot make {}", setup.work_dir.display()))?;
    let session = session(setup).await?;
    let agent = session.get(&["agents", &setup.name], &[]).await;
    let agent = agent.with_context(|| format!("no manager knows the agent {}", setup.name))?;
    let brokers = session.get(&["brokers"], &[]).await;
    let brokers = brokers.context("RabbitMQ's addresses are not known")?;
    let mut settings = AgentSettings {
        name: setup.name.clone(),
        tenant: setup.tenant.clone(),
        rest_hosts: setup.rest_hosts.clone(),
        rest_port: setup.rest_port,
        work_dir: setup.work_dir.clone(),
        ..AgentSettings::default()
    };
    about_agent(&mut settings, &agent)?;
    let ca = about_brokers(&mut settings, &brokers, &setup.network)?;
    if let Some(pem) = ca {
        let path = setup.work_dir.join("broker_ca.pem");
        write_secret(&path, pem.as_bytes()).await?;
        settings.broker_ca_file = Some(path);
    }
    if let Some(given) = &setup.rest_ca_file {
        let path = setup.work_dir.join("manager_ca.pem");
        write_secret(&path, &tokio::fs::read(given).await?).await?;
        settings.rest_ca_file = Some(path);
    }
    settings.python = setup.python.clone().unwrap_or(settings.python);
    settings.max_operations = setup.max_operations.unwrap_or(settings.max_operations);
    let path = setup.work_dir.join("agent.json");
    write_secret(&path, serde_json::to_string_pretty(&settings)?.as_bytes())
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    let about = json!({"version": env!("CARGO_PKG_VERSION"), "system": system().await});
    session.patch(&["agents", &setup.name], &about).await?;
    Ok(path)
}

async fn session(setup: &Setup) -> anyhow::Result<Session> {
    let ca_file = setup.rest_ca_file.as_ref();
    let urls = rest_urls(&setup.rest_hosts, setup.rest_port, ca_file.is_some());
    let rest = Rest::new(&urls, ca_file, RETRY_LIMIT, CancellationToken::new()).await?;
    let (token, tenant) = (&setup.token.0, &setup.tenant);
    Ok(Session::new(Arc::new(rest), token, tenant, false))
}

fn about_agent(settings: &mut AgentSettings, agent: &Value) -> anyhow::Result<()> {
    let text = |key: &str| {
        let text = agent.get(key).and_then(Value::as_str);
        text.with_context(|| format!("the manager does not tell the agent's {key}"))
    };
    text("rabbitmq_exchange")?.clone_into(&mut settings.queue);
    text("rabbitmq_username")?.clone_into(&mut settings.broker_user);
    settings.broker_password = Hidden(text("rabbitmq_password")?.to_owned());
    Ok(())
}

/// Gives the certificates that RabbitMQ's are signed with.
fn about_brokers(
    settings: &mut AgentSettings,
    brokers: &Value,
    network: &str,
) -> anyhow::Result<Option<String>> {
    let items = brokers.get("items").and_then(Value::as_array);
    let mut authorities: Vec<&str> = Vec::new();
    let mut port = 0;
    for broker in items.into_iter().flatten() {
        let networks = broker.get("networks");
        let host = networks
            .and_then(|networks| networks.get(network))
            .or_else(|| broker.get("host"))
            .and_then(Value::as_str)
            .context("a broker without an address")?;
        settings.broker_hosts.push(host.to_owned());
        port = broker.get("port").and_then(Value::as_u64).unwrap_or(port);
        let ca = broker.get("ca_cert_content").and_then(Value::as_str);
        authorities.extend(ca.filter(|pem| !pem.is_empty()));
    }
    anyhow::ensure!(!settings.broker_hosts.is_empty(), "there is no RabbitMQ");
    authorities.dedup();
    let is_tls = !authorities.is_empty();
    settings.broker_port = match u16::try_from(port)? {
        0 if is_tls => PORTS.1,
        0 => PORTS.0,
        port => port,
    };
    Ok(is_tls.then(|| authorities.join("\n")))
}

/// The operating system as people call it.
async fn system() -> String {
    let release = tokio::fs::read_to_string("/etc/os-release").await;
    let release = release.unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.strip_prefix('=')?.trim_matches('"').to_owned())
    };
    match (field("ID"), field("VERSION_ID")) {
        (Some(id), Some(version)) => format!("{id} {version}"),
        (Some(id), None) => id,
        _ => std::env::consts::OS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn brokers_are_reached_on_the_hosts_network() {
        let brokers = json!({"items": [
            {"host": "b1", "networks": {"default": "b1", "blue": "10.1.0.1"}, "port": 0,
             "ca_cert_content": "PEM"},
            {"host": "b2", "networks": {"default": "b2"}, "port": 0, "ca_cert_content": "PEM"},
        ]});
        let mut settings = AgentSettings::default();
        let ca = about_brokers(&mut settings, &brokers, "blue").unwrap();
        assert_eq!(settings.broker_hosts, ["10.1.0.1", "b2"]);
        assert_eq!((ca.as_deref(), settings.broker_port), (Some("PEM"), 5671));
        let none = json!({"items": []});
        assert!(about_brokers(&mut AgentSettings::default(), &none, "default").is_err());
    }
}
