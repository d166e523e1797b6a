//! The task broker: takes operations from the queue, runs them, and answers. It knows the server
//! only through its REST API and the message broker, so it may run in the server's process or on a
//! machine of its own.
//!
//! Invariants:
//! - a message is acknowledged after the broker has confirmed the response to it, never before;
//! - an operation that was begun is not begun again by itself: a message that comes a second time
//!   joins the running operation, sends the response that is kept, or is handled as the
//!   interruption that it is;
//! - everything an operation starts belongs to a process group of its own and ends with it when it
//!   is killed.
pub mod agent;
mod consumer;
mod context;
pub mod ctx_command;
mod door;
mod environment;
mod extensions;
mod installer;
mod interpreter;
mod log;
mod metrics;
mod operation;
mod outcomes;
mod plugins;
mod process;
mod proxy;
mod python;
mod resident;
mod resources;
mod rest;
mod runner;
mod running;
mod script;
mod service;
mod text;
mod workflow;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    door::Door, outcomes::Outcomes, plugins::Installer, resident::Residents, rest::Rest,
    running::Running,
};
use crate::{
    broker::{self, Broker, Tenants},
    config::{Hidden, METRICS_INTERVAL_S},
};

/// How many operations may wait for other executions, for each that may run.
const WAITS_PER_SLOT: usize = 4;

/// Whose operations a worker runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A manager's: those that are sent to all managers.
    Manager,
    /// A host's: those that are sent to its own exchange, in the virtual host of its tenant.
    Agent {
        /// Name of the exchange, and beginning of the names of its queues.
        queue: String,
        /// The file with its settings, which managers may change.
        settings: Option<PathBuf>,
    },
}

/// What a worker needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose operations it runs.
    pub role: Role,
    /// Where managers are (`http://127.0.0.1:8080`); when one is silent, the next one is asked.
    pub rest_urls: Vec<String>,
    /// PEM file with the authorities of the manager's certificate.
    pub ca_file: Option<PathBuf>,
    /// An interpreter with `cloudify-common` installed.
    pub python: PathBuf,
    /// Logs, plugins, unsent responses and the `ctx` command live here.
    pub work_dir: PathBuf,
    /// Operations at once. Some more messages are taken from the queue ahead of their
    /// acknowledgement: those of operations that wait for others.
    pub max_operations: u16,
    /// Name of this manager or agent, as events and operations show it.
    pub name: String,
    /// The executable that scripts find as `ctx`; our own when absent.
    pub ctx_command: Option<PathBuf>,
    /// The virtual hosts of agents, for those who install them. Without it nobody does.
    pub tenants: Option<Tenants>,
    /// RabbitMQ, for workflows written in Python: its URL, and a PEM file with the authorities of
    /// its certificate. Without it there are no such workflows.
    pub amqp: Option<(Hidden, Option<PathBuf>)>,
    /// How long a REST call is repeated while the manager is silent.
    pub rest_retry_limit_ms: u64,
    /// How long running operations may take to end after the worker was told to.
    pub drain_ms: u64,
    /// Whether interpreters stay after an operation, so that the next one need not load the
    /// library.
    pub has_residents: bool,
    /// How often the worker tells its metrics; 0 for never.
    pub metrics_interval_s: u64,
}

impl Options {
    pub fn new(rest_url: &str, python: PathBuf, work_dir: PathBuf, name: &str) -> Self {
        Self {
            role: Role::Manager,
            rest_urls: vec![rest_url.to_owned()],
            ca_file: None,
            python,
            work_dir,
            max_operations: 20,
            name: name.to_owned(),
            ctx_command: None,
            tenants: None,
            amqp: None,
            rest_retry_limit_ms: 3_600_000,
            drain_ms: 30_000,
            has_residents: true,
            metrics_interval_s: METRICS_INTERVAL_S,
        }
    }
}

/// Why a worker cannot start. Once it runs it goes on until it is told to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot prepare the working directory {path}")]
    WorkDir {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot reach the manager: {0}")]
    Rest(String),
    #[error(transparent)]
    Broker(#[from] broker::Error),
}

impl Options {
    /// Names of the fields that say who reports something to the manager: this worker's, and the
    /// other one, which is null then.
    fn reporter(&self) -> (&'static str, &'static str) {
        match self.role {
            Role::Manager => ("manager_name", "agent_name"),
            Role::Agent { .. } => ("agent_name", "manager_name"),
        }
    }

    fn is_agent(&self) -> bool {
        matches!(self.role, Role::Agent { .. })
    }
}

/// Shared by everything that runs in one worker.
#[derive(Debug)]
struct Worker {
    options: Options,
    rest: Arc<Rest>,
    broker: Broker,
    tasks: TaskTracker,
    slots: Semaphore,
    /// For operations that wait for other executions, which need slots themselves.
    waits: Semaphore,
    running: Running,
    outcomes: Outcomes,
    residents: Residents,
    plugins: Installer,
    door: Door,
    /// The agent was asked to end.
    leave: CancellationToken,
    /// The agent's settings have changed.
    renew: CancellationToken,
    /// Kills every operation; their messages stay with the broker.
    abort: CancellationToken,
}

/// Why a worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Told,
    /// A workflow asked the agent to end.
    Asked,
    /// Its settings have changed: it is to start again.
    Renewed,
}

/// Works until `cancel`, then takes no more operations and waits for those that run.
pub async fn run(
    options: Options,
    broker: Broker,
    cancel: CancellationToken,
) -> Result<Ending, Error> {
    environment::prepare(&options).await?;
    let retry_limit = Duration::from_millis(options.rest_retry_limit_ms);
    let abort = CancellationToken::new();
    let rest = Rest::new(
        &options.rest_urls,
        options.ca_file.as_ref(),
        retry_limit,
        abort.clone(),
    );
    let rest = rest.await.map_err(|error| Error::Rest(error.to_string()))?;
    let kept = options.work_dir.join("outcomes");
    let outcomes = Outcomes::open(kept.clone())
        .await
        .map_err(|source| Error::WorkDir { path: kept, source })?;
    let worker = Arc::new(Worker {
        rest: Arc::new(rest),
        broker,
        tasks: TaskTracker::new(),
        slots: Semaphore::new(usize::from(options.max_operations.max(1))),
        waits: Semaphore::new(usize::from(options.max_operations.max(1)) * WAITS_PER_SLOT),
        running: Running::default(),
        outcomes,
        residents: Residents::new(options.has_residents),
        plugins: Installer::default(),
        door: Door::new(options.amqp.clone()),
        leave: CancellationToken::new(),
        renew: CancellationToken::new(),
        abort,
        options,
    });
    let telling = worker.clone();
    tokio::select! {
        ended = Box::pin(consumer::run(worker, cancel)) => ended,
        never = metrics::tell(&telling) => match never {},
    }
}

#[cfg(test)]
mod tests;
