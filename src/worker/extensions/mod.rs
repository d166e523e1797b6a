//! What the built-in plugin `cfy_extensions` does: components, shared resources, blueprints and
//! generated passwords. Its operations are run here, not in Python. They wait for other executions,
//! so they take no place among the processes, and each of them can be run again where an earlier
//! run was interrupted.
mod blueprint;
mod change;
mod component;
mod dependency;
mod deployment;
mod drift;
mod execution;
mod password;
mod plugins;
mod secrets;
mod shared_resource;

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    context::{Context, ContextError, Side},
    operation::Job,
    resources::ResourceError,
    rest::{ClientError, RestError, Session},
    script::Done,
};
use crate::broker::wire::{OperationContext, Response, TaskError};

const PLUGIN: &str = "cfy_extensions";
/// Which other manager and tenant has the deployment; no such runtime property: ours.
const MANAGER: &str = "_component_manager";
/// How long others may take, unless the operation's inputs say something else; seconds.
const TIMEOUT_S: f64 = 1_800.0;
/// Between two looks at what is waited for; seconds.
const INTERVAL_S: f64 = 1.0;
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// The operations there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ComponentUpload,
    ComponentCreate,
    ComponentExecute,
    ComponentDelete,
    ComponentCheckStatus,
    ComponentCheckDrift,
    ComponentHeal,
    ComponentUpdate,
    Refresh,
    Connect,
    Disconnect,
    SharedCheckStatus,
    SharedCheckDrift,
    SharedExecute,
    BlueprintUpload,
    BlueprintDelete,
    PasswordCreate,
    PasswordDelete,
    PasswordValidate,
}

impl Operation {
    /// The operation that a task asks for; nothing for what other plugins do.
    pub(super) fn of(context: &OperationContext) -> Option<Self> {
        // imported with a namespace, it is called `namespace--cfy_extensions`
        let plugin = context.plugin.name.as_deref()?;
        if plugin.rsplit("--").next() != Some(PLUGIN) {
            return None;
        }
        Some(match context.task_name.strip_prefix("cloudify_types.")? {
            "component.upload_blueprint" => Self::ComponentUpload,
            "component.create" => Self::ComponentCreate,
            "component.execute_start" => Self::ComponentExecute,
            "component.delete" => Self::ComponentDelete,
            "component.check_status" => Self::ComponentCheckStatus,
            "component.check_drift" => Self::ComponentCheckDrift,
            "component.heal" => Self::ComponentHeal,
            "component.update" => Self::ComponentUpdate,
            "component.refresh" | "shared_resource.refresh" => Self::Refresh,
            "shared_resource.connect_deployment" => Self::Connect,
            "shared_resource.disconnect_deployment" => Self::Disconnect,
            "shared_resource.check_status" => Self::SharedCheckStatus,
            "shared_resource.check_drift" => Self::SharedCheckDrift,
            "shared_resource.execute_workflow" => Self::SharedExecute,
            "blueprint.upload" => Self::BlueprintUpload,
            "blueprint.delete" => Self::BlueprintDelete,
            "password_secret.create" => Self::PasswordCreate,
            "password_secret.delete" => Self::PasswordDelete,
            "password_secret.creation_validation" => Self::PasswordValidate,
            _ => return None,
        })
    }

    /// Whether it is about resources that another manager may have.
    fn is_about_deployments(self) -> bool {
        !matches!(
            self,
            Self::PasswordCreate | Self::PasswordDelete | Self::PasswordValidate
        )
    }

    pub(super) async fn run(self, job: &Job) -> Done {
        let is_relationship = job.task.context.related.is_some();
        let mut run = Run {
            job,
            context: Context::new(job.task.clone(), job.session.clone(), job.logger.clone()),
            subject: match is_relationship {
                true => Side::Target,
                false => Side::Own,
            },
            there: job.session.clone(),
            external: None,
            began: Instant::now(),
        };
        let outcome = run.perform(self).await;
        // what was found out is kept, whatever became of the operation
        let stored = run.context.store().await.map_err(Failure::from);
        let name = job.task.context.task_name.rsplit('.').next();
        match outcome.and_then(|value| stored.map(|()| value)) {
            Ok(value) => Done::Response(Response::Ok(value)),
            Err(Failure::Killed) => Done::Killed,
            Err(Failure::Later(why)) => TaskError::operation_retry(&why, None).into(),
            Err(Failure::Definite(why)) => {
                TaskError::non_recoverable(format!("Error in {}: {why}", name.unwrap_or_default()))
                    .into()
            }
        }
    }
}

/// Why an operation did not succeed.
#[derive(Debug)]
enum Failure {
    /// It never will.
    Definite(String),
    /// It may, the next time.
    Later(String),
    Killed,
}

impl From<RestError> for Failure {
    fn from(error: RestError) -> Self {
        match error.code() {
            Some("forbidden_while_cancelling") => Self::Later(error.to_string()),
            _ => Self::Definite(error.to_string()),
        }
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        Self::Definite(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Definite(error.to_string())
    }
}

impl From<ResourceError> for Failure {
    fn from(error: ResourceError) -> Self {
        Self::Definite(error.to_string())
    }
}

fn definite<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Definite(message.into()))
}

/// One operation that runs.
#[derive(Debug)]
struct Run<'j> {
    job: &'j Job,
    context: Context,
    /// The instance that stands for a deployment: the operation's own, or the target of its
    /// relationship.
    subject: Side,
    /// The manager and tenant that have the deployment.
    there: Session,
    /// Where that is, if it is not here.
    external: Option<Map<String, Value>>,
    began: Instant,
}

impl Run<'_> {
    async fn perform(&mut self, operation: Operation) -> Result<Value, Failure> {
        if operation.is_about_deployments() {
            self.follow_client().await?;
        }
        match operation {
            Operation::ComponentUpload => self.upload().await,
            Operation::BlueprintUpload => self.upload_equipped().await,
            Operation::ComponentCreate => self.create().await,
            Operation::ComponentExecute => self.execute().await,
            Operation::ComponentDelete => self.delete().await,
            Operation::ComponentCheckStatus | Operation::SharedCheckStatus => {
                self.check_status().await
            }
            Operation::ComponentCheckDrift => self.check_component_drift().await,
            Operation::ComponentHeal => self.heal().await,
            Operation::ComponentUpdate => self.update().await,
            Operation::SharedCheckDrift => self.check_shared_drift().await,
            Operation::SharedExecute => self.execute_shared().await,
            Operation::Refresh => self.refresh().await,
            Operation::Connect => self.connect().await,
            Operation::Disconnect => self.disconnect().await,
            Operation::BlueprintDelete => self.delete_equipped().await,
            Operation::PasswordCreate => self.make_password().await,
            Operation::PasswordDelete => self.delete_password().await,
            Operation::PasswordValidate => self.check_password().await,
        }
    }

    /// What an operation is given by that name: its input, else the runtime property, else the
    /// property of its node.
    async fn given(&mut self, name: &str) -> Result<Value, Failure> {
        if let Some(value) = self.job.task.inputs.get(name).filter(|v| is_given(v)) {
            return Ok(value.clone());
        }
        if let Some(value) = self.runtime().await?.get(name).filter(|v| is_given(v)) {
            return Ok(value.clone());
        }
        Ok(self.property(name).await?)
    }

    async fn property(&mut self, name: &str) -> Result<Value, ContextError> {
        let property = self.context.property_of(self.subject, name).await?;
        Ok(property.unwrap_or_default())
    }

    /// A part of `resource_config`.
    async fn config(&mut self, part: &str) -> Result<Map<String, Value>, Failure> {
        let config = self.given("resource_config").await?;
        Ok(object(config.get(part)))
    }

    /// Where the operation keeps what it must find again. Of a relationship that is the source:
    /// several may lead to one target at once.
    async fn runtime(&mut self) -> Result<&mut Map<String, Value>, ContextError> {
        let side = match self.is_relationship() {
            true => Side::Source,
            false => Side::Own,
        };
        self.context.runtime_of(side).await
    }

    fn is_relationship(&self) -> bool {
        self.subject == Side::Target
    }

    /// The name by which a note is kept. Several relationships of one source do not mix theirs up.
    fn noted_as(&self, name: &str) -> String {
        match self.is_relationship() {
            true => format!("{name}_{}", self.context.instance_id(Side::Target)),
            false => name.to_owned(),
        }
    }

    async fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), Failure> {
        self.runtime().await?.insert(name.to_owned(), value.into());
        Ok(())
    }

    /// Writes the runtime properties down now, so that another run knows of what follows.
    async fn note(&mut self) -> Result<(), Failure> {
        Ok(self.context.store().await?)
    }

    fn instance_id(&self) -> &str {
        let id = self.job.task.context.node_id.as_deref();
        id.unwrap_or_default()
    }

    fn own_deployment(&self) -> &str {
        let id = self.job.task.context.deployment_id.as_deref();
        id.unwrap_or_default()
    }

    /// Turns to the manager and tenant that `client` names, if it does.
    async fn follow_client(&mut self) -> Result<(), Failure> {
        let client = match self.is_relationship() {
            // what the source has by that name is its own business
            true => self.property("client").await?,
            false => self.given("client").await?,
        };
        let mut client = object(Some(&client));
        client.retain(|_, value| is_given(value));
        if client.is_empty() {
            return Ok(());
        }
        let own_hosts = &self.job.task.context.rest_host;
        let elsewhere = self.job.session.elsewhere(&client, own_hosts).await?;
        self.there = elsewhere.session;
        self.external = elsewhere.is_external.then_some(elsewhere.shown);
        Ok(())
    }

    async fn say(&self, text: impl Into<String>) {
        self.job.logger.info(text).await;
    }

    /// Waits a moment, as long as there is time.
    async fn pause(&self, what: &str) -> Result<(), Failure> {
        let seconds = |name: &str, default: f64| {
            let given = self.job.task.inputs.get(name).and_then(Value::as_f64);
            given.unwrap_or(default)
        };
        let timeout = seconds("timeout", TIMEOUT_S);
        if timeout >= 0.0 && self.began.elapsed().as_secs_f64() > timeout {
            return definite(format!("waited {timeout} seconds for {what}"));
        }
        let interval = Duration::try_from_secs_f64(seconds("interval", INTERVAL_S));
        let interval = interval.unwrap_or(INTERVAL_MIN).max(INTERVAL_MIN);
        tokio::select! {
            () = self.job.kill.cancelled() => Err(Failure::Killed),
            () = tokio::time::sleep(interval) => Ok(()),
        }
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    let map = value.and_then(Value::as_object);
    map.cloned().unwrap_or_default()
}

fn text<'v>(map: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    map.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name) == Some(&Value::Bool(true))
}
