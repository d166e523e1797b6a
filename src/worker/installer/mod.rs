//! The life of agents on hosts: they are made known, put there, waited for, and removed again.
//! Operations of the plugin `agent`, as managers' workers run them.
mod config;
mod host;
mod remote;
mod script;
mod transfer;

use std::time::Duration;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

pub(super) use host::Host;

use self::{config::Config, remote::Login};
use super::{
    operation::Job,
    rest::RestError,
    script::{Done, failed},
};
use crate::{
    broker::{
        AskError, Peer,
        wire::{Response, TaskError},
    },
    clock,
};

/// How long an agent that starts may take to answer once it is asked.
const PING: Duration = Duration::from_secs(10);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// After this time an agent that has not started is shown as silent.
const SILENT_AFTER: Duration = Duration::from_secs(300);
/// After this time it is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3_600);
/// How long validation waits for an answer, unless its input says otherwise; seconds.
const VALIDATION_S: f64 = 20.0;

/// One of the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Configure,
    Start,
    Stop,
    Restart,
    Delete,
    Validate,
    Transfer,
}

impl Action {
    /// The operation behind the name of a task.
    pub(super) fn of_task(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("cloudify_agent.")? {
            "installer.operations.create" => Self::Create,
            "installer.operations.configure" => Self::Configure,
            "installer.operations.start" => Self::Start,
            "installer.operations.stop" => Self::Stop,
            "installer.operations.restart" => Self::Restart,
            "installer.operations.delete" => Self::Delete,
            "operations.validate_agent_amqp" => Self::Validate,
            "operations.create_agent_amqp" => Self::Transfer,
            _ => return None,
        })
    }
}

/// Why an operation fails.
#[derive(Debug)]
pub(super) struct Failure(TaskError);

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        Self(failed("CloudifyClientError", error.to_string()))
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Self(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

fn never(why: impl Into<String>) -> Failure {
    Failure(TaskError::non_recoverable(why))
}

fn not_now(why: impl Into<String>) -> Failure {
    Failure(TaskError::recoverable(why))
}

pub(super) async fn run(job: &Job, action: Action) -> Done {
    let done = async {
        let installer = Installer {
            job,
            host: Host::load(job.session.clone(), &job.task).await?,
        };
        installer.perform(action).await
    };
    let limit = job.timeout().unwrap_or(Duration::MAX);
    tokio::select! {
        () = job.kill.cancelled() => Done::Killed,
        done = tokio::time::timeout(limit, done) => match done {
            Ok(Ok(())) => Done::Response(Response::Ok(Value::Null)),
            Ok(Err(Failure(error))) => error.into(),
            Err(_) => job.timed_out().into(),
        },
    }
}

struct Installer<'a> {
    job: &'a Job,
    host: Host,
}

impl Installer<'_> {
    async fn perform(&self, action: Action) -> Result<(), Failure> {
        let config = &self.host.config;
        if config.method() == "none" || config.is_proxied() {
            return Ok(());
        }
        if config.flag("windows") {
            return Err(never("Agents on hosts with Windows cannot be installed"));
        }
        match action {
            Action::Create => self.create().await,
            // everything is configured when it is created
            Action::Configure => Ok(()),
            Action::Start => self.start().await,
            Action::Stop => self.stop().await,
            Action::Restart => self.restart().await,
            Action::Delete => self.delete().await,
            Action::Validate => self.validate().await,
            Action::Transfer => transfer::transfer(self).await,
        }
    }

    fn input(&self, name: &str) -> Option<&Value> {
        self.job.task.inputs.get(name).filter(|v| !v.is_null())
    }

    fn peer(&self) -> Result<Peer, Failure> {
        let tenants = self.job.worker.options.tenants.as_ref();
        let tenants = tenants.ok_or_else(|| never("Agents need a message broker"))?;
        Ok(tenants.of(&self.job.task.context.tenant.name))
    }

    fn login(&self) -> Result<Login, Failure> {
        Login::new(&self.host, &self.job.worker.options.work_dir).map_err(never)
    }

    async fn create(&self) -> Result<(), Failure> {
        let Host { config, .. } = &self.host;
        let agent = self.host.register("creating").await?;
        let text = self.host.script(&agent).await?;
        let mut property = self.host.property(&agent).await?;
        if config.method() == "remote" {
            self.host.set("cloudify_agent", Some(property)).await?;
            return self.put_there(&agent.name, &agent.queue, &text).await;
        }
        let path = self.host.publish(&text).await?;
        let link = self.host.link(&path).await?;
        self.job
            .logger
            .info(format!("The script that installs the agent is at {link}"))
            .await;
        property.insert("install_script_download_link".to_owned(), json!(link));
        property.insert("local_cleanup_paths".to_owned(), json!([path]));
        self.host.set("cloudify_agent", Some(property)).await?;
        self.host.state(&agent.name, "created").await
    }

    /// Logs in, runs the script, and waits until the agent answers.
    async fn put_there(&self, name: &str, queue: &str, text: &str) -> Result<(), Failure> {
        let done = async {
            self.login()?.run(text).await.map_err(not_now)?;
            self.answers(name, queue).await
        };
        match done.await {
            Ok(()) => self.host.state(name, "started").await,
            Err(error) => {
                self.host.state(name, "failed").await?;
                Err(error)
            }
        }
    }

    async fn start(&self) -> Result<(), Failure> {
        let (name, queue) = self.host.known()?;
        self.host.state(&name, "starting").await?;
        self.answers(&name, &queue).await?;
        self.host.state(&name, "started").await
    }

    /// Waits for the agent's first sign of life.
    async fn answers(&self, name: &str, queue: &str) -> Result<(), Failure> {
        let peer = self.peer()?;
        let began = Instant::now();
        let mut is_told = false;
        loop {
            match peer.ping(queue, PING).await {
                Ok(()) => return Ok(()),
                // it has no queue before it starts
                Err(AskError::Nobody(_)) => tokio::time::sleep(PAUSE).await,
                Err(AskError::Silent(_)) => {}
                Err(AskError::Broker(error)) => {
                    let text = format!("Waiting for the message broker: {error}");
                    self.job.logger.debug(text).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if began.elapsed() >= GIVEN_UP_AFTER {
                let seconds = GIVEN_UP_AFTER.as_secs();
                return Err(never(format!(
                    "Agent {queue} did not start in {seconds} seconds"
                )));
            }
            if began.elapsed() >= SILENT_AFTER && !is_told {
                is_told = true;
                self.host.state(name, "nonresponsive").await?;
            }
        }
    }

    async fn stop(&self) -> Result<(), Failure> {
        let (name, _) = self.host.known()?;
        self.host.state(&name, "stopping").await?;
        let text = script::stopping(&self.host.config, &name);
        self.login()?.run(&text).await.map_err(not_now)?;
        self.host.state(&name, "stopped").await
    }

    async fn restart(&self) -> Result<(), Failure> {
        let (name, queue) = self.host.known()?;
        self.host.state(&name, "restarting").await?;
        let text = script::restarting(&self.host.config, &name);
        self.login()?.run(&text).await.map_err(not_now)?;
        self.answers(&name, &queue).await?;
        self.host.state(&name, "restarted").await?;
        self.host.state(&name, "started").await
    }

    /// What the agent has with managers and broker goes, whatever has become of its host.
    async fn delete(&self) -> Result<(), Failure> {
        // nothing is left of one that was deleted before
        let Ok((name, _)) = self.host.known() else {
            return Ok(());
        };
        self.host.state(&name, "deleting").await?;
        if self.host.config.method() == "remote" {
            let text = script::removing(&self.host.config, &name);
            let removed = match self.login() {
                Ok(login) => login.run(&text).await,
                Err(Failure(error)) => Err(error.message),
            };
            if let Err(why) = removed {
                let text = format!("The agent's files stay on its host: {why}");
                self.job.logger.log("warning", text).await;
            }
        }
        self.host.unpublish().await?;
        if let Some(former) = &self.host.former {
            self.host.state(former, "deleted").await?;
            self.host.set(host::FORMER, None).await?;
        }
        self.host.state(&name, "deleted").await?;
        self.host.set("cloudify_agent", None).await
    }

    /// Notes whether the agent answers; fails when it does not.
    async fn validate(&self) -> Result<(), Failure> {
        let (name, queue) = self.host.known()?;
        let limit = self.input("validate_agent_timeout").and_then(seconds);
        let limit = limit.unwrap_or(Duration::from_secs_f64(VALIDATION_S));
        let is_current = self.input("current_amqp").and_then(Value::as_bool);
        let asked = self.peer()?.ping(&queue, limit).await;
        let error = asked.err().map(|error| error.to_string());
        let field = match is_current.unwrap_or(true) {
            true => "agent_alive",
            // there is one broker only, so this asks over it, too
            false => "agent_alive_crossbroker",
        };
        let now = clock::now().to_rfc3339_opts(SecondsFormat::Micros, false);
        let status = Map::from_iter([
            (field.to_owned(), json!(error.is_none())),
            (
                format!("{field}_error"),
                json!(error.clone().unwrap_or_default()),
            ),
            ("timestamp".to_owned(), json!(now)),
        ]);
        self.host.set("agent_status", Some(status)).await?;
        match error {
            None => Ok(()),
            Some(error) => Err(not_now(format!("Agent {name} does not answer: {error}"))),
        }
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}
