//! Settings of the process: defaults, then a TOML file, then `STRATALOG_*` of the environment, then
//! flags.
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Provider,
    providers::{Format, Serialized, Toml},
    value::{Dict, Value},
};
use serde::{Deserialize, Serialize};
use url::Url;

mod agent;
#[cfg(test)]
mod tests;

pub use agent::AgentSettings;

/// Prefix of the environment's settings.
const PREFIX: &str = "STRATALOG_";

/// How often workers and agents tell their metrics, where nothing else is set; seconds.
pub(crate) const METRICS_INTERVAL_S: u64 = 10;

/// A setting that is not shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Settings of the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where PostgreSQL is: `postgres://user:password@host:port/database`.
    pub database_url: Hidden,
    /// Connections reads may hold.
    pub database_readers: usize,
    /// Where RabbitMQ is; without it operations wait.
    pub amqp_url: Option<Hidden>,
    /// Certificates that RabbitMQ's may be signed with.
    pub amqp_ca_file: Option<PathBuf>,
    /// Where agents reach RabbitMQ (`host` or `host:port`), if not where the manager does.
    pub amqp_agents_address: Option<String>,
    /// RabbitMQ's management interface: `http://user:password@host:15672`.
    pub amqp_management_url: Option<Hidden>,
    /// Where the process keeps its files.
    pub data_dir: PathBuf,
    /// Where file contents are kept, if not below `data_dir`: a directory or `s3://bucket/prefix`.
    pub blob_store: Option<String>,
    /// Key that seals secrets, if not below `data_dir`; shared by all managers of a database.
    pub key_file: Option<PathBuf>,
    /// Where the REST API listens.
    pub rest_listen: SocketAddr,
    /// Where workers and agents are served over TLS.
    pub internal_listen: SocketAddr,
    /// Name or address under which workers and agents reach this manager.
    pub advertised_host: String,
    /// Whether this process runs executions, schedules and operations, or only serves requests.
    pub run_executions: bool,
    /// Password of the first user, needed once: when the log is empty.
    pub admin_password: Option<Hidden>,
    /// Python with the plugins' libraries, for the worker.
    pub python: PathBuf,
    /// Whether the worker's interpreters stay after an operation, so that the next one need not
    /// load the plugins' libraries.
    pub resident_interpreters: bool,
    /// Program that scripts find as `ctx`, if not this one.
    pub ctx_command: Option<PathBuf>,
    /// Program that hosts get as their agent, if not this one.
    pub agent_program: Option<PathBuf>,
    /// What is logged: `info`, `stratalog=debug,warn`…
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Largest JSON body.
    pub body_bytes_max: usize,
    /// Largest uploaded file.
    pub upload_bytes_max: u64,
    /// Memory for small files that are served often.
    pub file_cache_bytes_max: u64,
    /// How long an agent that has an operation may be silent before the operation counts as failed;
    /// at least 40 seconds.
    pub agent_lost_after_s: u64,
    /// How long running requests and operations may take to end when the process stops.
    pub drain_timeout_s: u64,
    /// How often the worker tells how it and its host are; seconds, at most
    /// 3600; 0 for never.
    pub metrics_interval_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database_url: Hidden("postgres://stratalog@127.0.0.1:5432/stratalog".to_owned()),
            database_readers: 32,
            amqp_url: None,
            amqp_ca_file: None,
            amqp_agents_address: None,
            amqp_management_url: None,
            data_dir: PathBuf::from("/var/lib/stratalog"),
            blob_store: None,
            key_file: None,
            rest_listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            internal_listen: SocketAddr::from(([127, 0, 0, 1], 53333)),
            advertised_host: "127.0.0.1".to_owned(),
            run_executions: true,
            admin_password: None,
            python: PathBuf::from("python3"),
            resident_interpreters: true,
            ctx_command: None,
            agent_program: None,
            log: "info".to_owned(),
            log_format: LogFormat::Json,
            body_bytes_max: 64 * 1024 * 1024,
            upload_bytes_max: 4 * 1024 * 1024 * 1024,
            file_cache_bytes_max: 32 * 1024 * 1024,
            agent_lost_after_s: 300,
            drain_timeout_s: 30,
            metrics_interval_s: METRICS_INTERVAL_S,
        }
    }
}

impl Settings {
    /// Gathers the settings of this process.
    ///
    /// # Errors
    /// A file that cannot be read, values of the wrong kind, unknown names in the file.
    pub fn load(file: Option<&Path>, flags: impl Provider) -> Result<Self, figment::Error> {
        Self::gather(file, std::env::vars(), flags)
    }

    fn gather(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: impl Provider,
    ) -> Result<Self, figment::Error> {
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        let environment = environment(PREFIX, &defaults.extract()?, variables);
        let mut figment = defaults;
        if let Some(file) = file {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment
            .merge(Serialized::defaults(environment))
            .merge(flags)
            .extract()
    }

    /// Name of this manager, as its peers see it: the host's.
    pub fn manager_name(&self) -> String {
        let host = nix::unistd::gethostname();
        host.map_or_else(
            |_| self.advertised_host.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Host and port of RabbitMQ; nothing when none is configured.
    fn broker(&self) -> Option<(String, u16)> {
        let url = Url::parse(&self.amqp_url.as_ref()?.0).ok()?;
        let host = url.host_str().unwrap_or_default().to_owned();
        Some((host, url.port().unwrap_or_default()))
    }

    /// Name by which RabbitMQ is known; nothing when none is configured.
    pub fn broker_host(&self) -> Option<String> {
        self.broker().map(|(host, _)| host)
    }

    /// Host and port at which agents reach RabbitMQ; nothing when none is configured.
    pub fn agents_broker(&self) -> Option<(String, u16)> {
        let (host, port) = self.broker()?;
        Some(match self.amqp_agents_address.as_deref() {
            None => (host, port),
            Some(address) => match address.rsplit_once(':') {
                Some((host, given)) => (host.to_owned(), given.parse().unwrap_or(port)),
                None => (address.to_owned(), port),
            },
        })
    }

    /// The directory or address of the blob store.
    pub fn blob_address(&self) -> String {
        let local = || self.data_dir.join("blobs").display().to_string();
        self.blob_store.clone().unwrap_or_else(local)
    }

    /// The key that seals secrets.
    pub fn key_path(&self) -> PathBuf {
        let local = || self.data_dir.join("keys/master.key");
        self.key_file.clone().unwrap_or_else(local)
    }
}

/// Settings of the environment, in the kinds their defaults have: a password of digits stays a
/// text. Items of a list stand between commas.
fn environment(
    prefix: &str,
    defaults: &Dict,
    variables: impl Iterator<Item = (String, String)>,
) -> Dict {
    variables
        .filter_map(|(name, text)| {
            let key = name.strip_prefix(prefix)?.to_lowercase();
            let value = match defaults.get(&key)? {
                // what is no number is refused together with everything else
                Value::Num(..) => text
                    .parse::<u64>()
                    .map_or_else(|_| Value::from(text), Value::from),
                Value::Bool(..) => text
                    .parse::<bool>()
                    .map_or_else(|_| Value::from(text), Value::from),
                Value::Array(..) => Value::from(text.split(',').collect::<Vec<_>>()),
                _ => Value::from(text),
            };
            Some((key, value))
        })
        .collect()
}
