//! Settings of an agent: defaults, then the file that was written when it was set up, then
//! `STRATALOG_AGENT_*` of the environment, then flags.
use std::path::{Path, PathBuf};

use figment::{Figment, Provider, providers::Serialized};
use serde::{Deserialize, Serialize};

use super::{Hidden, LogFormat, METRICS_INTERVAL_S, environment};

/// Prefix of the environment's settings.
const PREFIX: &str = "STRATALOG_AGENT_";

/// What a host knows of its agent and of the managers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSettings {
    /// The agent's name, as managers know it.
    pub name: String,
    /// Its exchange, and the beginning of the names of its queues; the name when empty.
    pub queue: String,
    /// Tenant it belongs to.
    pub tenant: String,
    /// RabbitMQ's names or addresses, tried in turn.
    pub broker_hosts: Vec<String>,
    /// RabbitMQ's port.
    pub broker_port: u16,
    /// Certificates that RabbitMQ's may be signed with; without them there is no TLS.
    pub broker_ca_file: Option<PathBuf>,
    /// The tenant's virtual host; the usual one when empty.
    pub broker_vhost: String,
    /// The agent's own user on RabbitMQ.
    pub broker_user: String,
    /// That user's password.
    pub broker_password: Hidden,
    /// How often either side shows that it lives; seconds.
    pub heartbeat_s: u16,
    /// Managers' names or addresses, tried in turn.
    pub rest_hosts: Vec<String>,
    /// Managers' port for agents.
    pub rest_port: u16,
    /// Certificates that managers' may be signed with; without them there is no TLS.
    pub rest_ca_file: Option<PathBuf>,
    /// Where the agent keeps its files.
    pub work_dir: PathBuf,
    /// Python with the plugins' libraries, for operations written in it.
    pub python: PathBuf,
    /// Operations at once.
    pub max_operations: u16,
    /// What is logged: `info`, `stratalog=debug,warn`…
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// How long running operations may take to end when the agent is told to; seconds.
    pub drain_timeout_s: u64,
    /// How often the agent tells managers how it and its host are; seconds, at most
    /// 3600; 0 for never.
    pub metrics_interval_s: u64,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            queue: String::new(),
            tenant: "default_tenant".to_owned(),
            broker_hosts: Vec::new(),
            broker_port: 5671,
            broker_ca_file: None,
            broker_vhost: String::new(),
            broker_user: String::new(),
            broker_password: Hidden(String::new()),
            heartbeat_s: 10,
            rest_hosts: Vec::new(),
            rest_port: 53333,
            rest_ca_file: None,
            work_dir: PathBuf::from("/var/lib/stratalog-agent"),
            python: PathBuf::from("python3"),
            max_operations: 5,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            drain_timeout_s: 600,
            metrics_interval_s: METRICS_INTERVAL_S,
        }
    }
}

impl AgentSettings {
    /// Gathers the settings of an agent.
    ///
    /// # Errors
    /// A file that cannot be read or is no JSON, values of the wrong kind, unknown names in the
    /// file.
    pub fn load(file: Option<&Path>, flags: impl Provider) -> anyhow::Result<Self> {
        Self::gather(file, std::env::vars(), flags)
    }

    fn gather(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: impl Provider,
    ) -> anyhow::Result<Self> {
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        let environment = environment(PREFIX, &defaults.extract()?, variables);
        let mut figment = defaults;
        if let Some(file) = file {
            let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
            figment = figment.merge(Serialized::defaults(written));
        }
        let figment = figment
            .merge(Serialized::defaults(environment))
            .merge(flags);
        let mut settings: Self = figment.extract()?;
        for (what, is_missing) in [
            ("name", settings.name.is_empty()),
            ("broker_hosts", settings.broker_hosts.is_empty()),
            ("rest_hosts", settings.rest_hosts.is_empty()),
        ] {
            anyhow::ensure!(!is_missing, "the agent needs the setting {what}");
        }
        if settings.queue.is_empty() {
            settings.queue.clone_from(&settings.name);
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn gather(
        file: &serde_json::Value,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<AgentSettings> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let flags = Serialized::defaults(json!({}));
        AgentSettings::gather(Some(&path), variables, flags)
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let file = json!({
            "name": "a1", "broker_hosts": ["10.0.0.1"], "rest_hosts": ["10.0.0.1"],
            "broker_password": "12345",
        });
        let variables = [
            ("STRATALOG_AGENT_REST_HOSTS", "10.0.0.2,10.0.0.3"),
            ("STRATALOG_AGENT_BROKER_PORT", "5672"),
        ];
        let settings = gather(&file, &variables).unwrap();
        assert_eq!(settings.queue, "a1", "the name, where there is no other");
        assert_eq!(settings.rest_hosts, ["10.0.0.2", "10.0.0.3"]);
        assert_eq!(settings.broker_hosts, ["10.0.0.1"]);
        assert_eq!(settings.broker_port, 5672);
        assert!(!format!("{settings:?}").contains("12345"));
    }

    #[test]
    fn an_agent_that_knows_nobody_does_not_start() {
        let refused = gather(&json!({"name": "a1", "rest_hosts": ["m"]}), &[]).unwrap_err();
        assert!(refused.to_string().contains("broker_hosts"));
    }
}
