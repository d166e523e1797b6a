//! An agent: the worker of a host. It reaches RabbitMQ with a user of its own in the virtual host
//! of its tenant, and managers with the token of each operation.
pub mod cli;
mod renew;
pub mod setup;

use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub(super) use renew::renew;

use super::{Ending, Options, Role};
use crate::{
    broker::{self, Broker, Topology, admin::tenant_vhost},
    config::AgentSettings,
};

/// What plugins of agents read: where RabbitMQ is.
const BROKER_CONFIG: &str = "broker_config.json";
/// Longest pause between attempts to reach RabbitMQ; milliseconds.
const BACKOFF_MAX_MS: u64 = 15_000;

/// Runs an agent until `cancel`, or until a workflow asks it to end. `load` is asked again when
/// managers have changed the settings.
///
/// # Errors
/// Settings that cannot be used, a working directory that cannot be written.
pub async fn run(
    file: Option<PathBuf>,
    load: impl Fn() -> anyhow::Result<AgentSettings>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let settings = load()?;
        info!(name = %settings.name, tenant = %settings.tenant, "the agent starts");
        match once(&settings, file.clone(), &cancel).await? {
            Ending::Renewed => info!("the agent starts again with other settings"),
            Ending::Told => return Ok(()),
            Ending::Asked => {
                info!("the agent was asked to end");
                return Ok(());
            }
        }
    }
}

async fn once(
    settings: &AgentSettings,
    file: Option<PathBuf>,
    cancel: &CancellationToken,
) -> anyhow::Result<Ending> {
    tokio::fs::create_dir_all(&settings.work_dir)
        .await
        .with_context(|| format!("cannot make {}", settings.work_dir.display()))?;
    let config = broker_config(settings).to_string();
    let path = settings.work_dir.join(BROKER_CONFIG);
    write_secret(&path, config.as_bytes())
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    // the connection outlives the worker, which has answers to send until its end
    let closing = CancellationToken::new();
    let broker = Broker::start(reaching(settings)?, Topology::default(), closing.clone());
    let ended = super::run(options(settings, file), broker.clone(), cancel.clone()).await;
    closing.cancel();
    broker.closed().await;
    Ok(ended?)
}

fn options(settings: &AgentSettings, file: Option<PathBuf>) -> Options {
    let urls = rest_urls(
        &settings.rest_hosts,
        settings.rest_port,
        settings.rest_ca_file.is_some(),
    );
    let (python, work_dir) = (settings.python.clone(), settings.work_dir.clone());
    Options {
        role: Role::Agent {
            queue: settings.queue.clone(),
            settings: file,
        },
        rest_urls: urls,
        ca_file: settings.rest_ca_file.clone(),
        max_operations: settings.max_operations,
        drain_ms: settings.drain_timeout_s.saturating_mul(1_000),
        metrics_interval_s: settings.metrics_interval_s,
        ..Options::new("", python, work_dir, &settings.name)
    }
}

/// Addresses of managers, as requests begin.
fn rest_urls(hosts: &[String], port: u16, is_tls: bool) -> Vec<String> {
    let scheme = if is_tls { "https" } else { "http" };
    let url = |host: &String| format!("{scheme}://{}:{port}", bracketed(host));
    hosts.iter().map(url).collect()
}

/// An IPv6 address as it stands in a URL.
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    }
}

fn vhost(settings: &AgentSettings) -> String {
    match settings.broker_vhost.as_str() {
        "" => tenant_vhost(&settings.tenant),
        given => given.to_owned(),
    }
}

fn reaching(settings: &AgentSettings) -> anyhow::Result<broker::Options> {
    let scheme = match settings.broker_ca_file {
        Some(_) => "amqps",
        None => "amqp",
    };
    let mut urls = Vec::new();
    for host in &settings.broker_hosts {
        let address = format!("{scheme}://{}:{}", bracketed(host), settings.broker_port);
        let mut url =
            url::Url::parse(&address).with_context(|| format!("{host} is no name of a host"))?;
        let refused = |()| anyhow::anyhow!("{host} is no name of a host");
        url.set_username(&settings.broker_user).map_err(refused)?;
        url.set_password(Some(&settings.broker_password.0))
            .map_err(refused)?;
        urls.push(String::from(url));
    }
    let mut urls = urls.into_iter();
    let first = urls.next().context("the agent knows no RabbitMQ")?;
    Ok(broker::Options {
        other_urls: urls.collect(),
        ca_file: settings.broker_ca_file.clone(),
        vhost: Some(vhost(settings)),
        heartbeat_s: settings.heartbeat_s,
        backoff_max_ms: BACKOFF_MAX_MS,
        ..broker::Options::new(first, &settings.name)
    })
}

/// As the library of plugins expects it in `AGENT_WORK_DIR`.
fn broker_config(settings: &AgentSettings) -> Value {
    json!({
        "broker_ssl_enabled": settings.broker_ca_file.is_some(),
        "broker_cert_path": settings.broker_ca_file,
        "broker_username": settings.broker_user,
        "broker_password": settings.broker_password,
        "broker_vhost": vhost(settings),
        "broker_hostname": settings.broker_hosts,
        "broker_management_hostname": settings.broker_hosts.first(),
        "broker_heartbeat": settings.heartbeat_s,
    })
}

/// Replaces a file that only its owner may read; whoever reads it sees all of it or what was there
/// before.
async fn write_secret(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = tokio::fs::OpenOptions::from(options).open(&new).await?;
    file.write_all(content).await?;
    file.sync_all().await?;
    tokio::fs::rename(&new, path).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::Hidden;

    fn settings() -> AgentSettings {
        AgentSettings {
            name: "a1".to_owned(),
            tenant: "t1".to_owned(),
            broker_hosts: vec!["10.0.0.1".to_owned(), "fd00::2".to_owned()],
            broker_user: "rabbitmq_user_a1".to_owned(),
            broker_password: Hidden("a/b:c@d".to_owned()),
            rest_hosts: vec!["m1".to_owned(), "fd00::1".to_owned()],
            ..AgentSettings::default()
        }
    }

    #[test]
    fn all_brokers_are_reached_in_the_virtual_host_of_the_tenant() {
        let mut settings = settings();
        let plain = reaching(&settings).unwrap();
        assert_eq!(plain.vhost.as_deref(), Some("rabbitmq_vhost_t1"));
        let uri: lapin::uri::AMQPUri = plain.url.parse().unwrap();
        assert_eq!(uri.authority.userinfo.password, "a/b:c@d");
        assert!(plain.other_urls[0].contains("@[fd00::2]:5671"));
        settings.broker_ca_file = Some("/ca.pem".into());
        assert!(reaching(&settings).unwrap().url.starts_with("amqps://"));
    }

    #[test]
    fn managers_are_reached_over_tls_where_there_is_a_certificate() {
        let settings = settings();
        let hosts = &settings.rest_hosts;
        assert_eq!(
            rest_urls(hosts, 53333, true),
            ["https://m1:53333", "https://[fd00::1]:53333"]
        );
        assert_eq!(rest_urls(hosts, 80, false)[0], "http://m1:80");
    }
}
