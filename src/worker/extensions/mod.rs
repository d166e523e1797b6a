//! What the built-in plugin `cfy_extensions` does: components, shared resources, blueprints and
//! generated passwords. Its operations are run here, not in Python. They wait for other executions,
//! so they take no place among the processes, and each of them can be run again where an earlier
//! run was interrupted.
mod blueprint;
mod component;
mod dependency;
mod deployment;
mod execution;
mod password;
mod shared_resource;

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    context::{Context, ContextError},
    operation::Job,
    resources::ResourceError,
    rest::RestError,
    script::Done,
};
use crate::broker::wire::{OperationContext, Response, TaskError};

const PLUGIN: &str = "cfy_extensions";
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
    Refresh,
    Connect,
    Disconnect,
    SharedCheckStatus,
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
            "component.refresh" | "shared_resource.refresh" => Self::Refresh,
            "shared_resource.connect_deployment" => Self::Connect,
            "shared_resource.disconnect_deployment" => Self::Disconnect,
            "shared_resource.check_status" => Self::SharedCheckStatus,
            "blueprint.upload" => Self::BlueprintUpload,
            "blueprint.delete" => Self::BlueprintDelete,
            "password_secret.create" => Self::PasswordCreate,
            "password_secret.delete" => Self::PasswordDelete,
            "password_secret.creation_validation" => Self::PasswordValidate,
            _ => return None,
        })
    }

    pub(super) async fn run(self, job: &Job) -> Done {
        let mut run = Run {
            job,
            context: Context::new(job.task.clone(), job.session.clone(), job.logger.clone()),
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
    began: Instant,
}

impl Run<'_> {
    async fn perform(&mut self, operation: Operation) -> Result<Value, Failure> {
        match operation {
            Operation::ComponentUpload | Operation::BlueprintUpload => self.upload().await,
            Operation::ComponentCreate => self.create().await,
            Operation::ComponentExecute => self.execute().await,
            Operation::ComponentDelete => self.delete().await,
            Operation::ComponentCheckStatus | Operation::SharedCheckStatus => {
                self.check_status().await
            }
            Operation::Refresh => self.refresh().await,
            Operation::Connect => self.connect().await,
            Operation::Disconnect => self.disconnect().await,
            Operation::BlueprintDelete => self.delete_blueprint().await,
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
        let property = self.context.own_property(name).await?;
        Ok(property.unwrap_or_default())
    }

    /// A part of `resource_config`.
    async fn config(&mut self, part: &str) -> Result<Map<String, Value>, Failure> {
        let config = self.given("resource_config").await?;
        Ok(object(config.get(part)))
    }

    async fn runtime(&mut self) -> Result<&mut Map<String, Value>, ContextError> {
        self.context.own_runtime().await
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

    /// Resources of other managers and tenants are out of reach.
    async fn require_local(&mut self) -> Result<(), Failure> {
        let client = object(Some(&self.given("client").await?));
        if client.values().all(Value::is_null) {
            return Ok(());
        }
        definite("resources of other managers and tenants cannot be used")
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
