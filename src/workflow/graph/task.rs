//! One task of a graph: what it does, where it stands, and how it is written down.
use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use stratalog_projections::views::operations;

use crate::{broker::wire::TaskError, workflow::operation::HOST_AGENT};

/// What a task is, by the type name of its stored operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds other tasks.
    Subgraph,
    /// An operation for a worker or an agent.
    Remote,
    /// Sets the state of a node instance.
    SetState,
    /// Tells something about a node instance.
    NodeEvent,
    /// Anything else; it does nothing here.
    Other(String),
}

impl Kind {
    pub(crate) fn from_wire(name: &str) -> Self {
        match name {
            "SubgraphTask" => Self::Subgraph,
            "RemoteWorkflowTask" => Self::Remote,
            "SetNodeInstanceStateTask" => Self::SetState,
            "SendNodeEventTask" => Self::NodeEvent,
            other => Self::Other(other.to_owned()),
        }
    }

    pub(crate) fn wire(&self) -> &str {
        match self {
            Self::Subgraph => "SubgraphTask",
            Self::Remote => "RemoteWorkflowTask",
            Self::SetState => "SetNodeInstanceStateTask",
            Self::NodeEvent => "SendNodeEventTask",
            Self::Other(name) => name,
        }
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Pending,
    /// Decided to be sent, but the broker could not be reached yet.
    Sending,
    Sent,
    Started,
    ResponseSent,
    Rescheduled,
    Succeeded,
    Failed,
}

impl State {
    pub(crate) fn from_wire(name: &str) -> Self {
        match name {
            "sending" => Self::Sending,
            "sent" => Self::Sent,
            "started" => Self::Started,
            "response-sent" => Self::ResponseSent,
            "rescheduled" => Self::Rescheduled,
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }

    pub(crate) fn wire(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Started => "started",
            Self::ResponseSent => "response-sent",
            Self::Rescheduled => "rescheduled",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn is_ended(self) -> bool {
        matches!(self, Self::Rescheduled | Self::Succeeded | Self::Failed)
    }
}

/// What is to happen when a task ends; stored by the name its peers know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Handler {
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) arguments: Map<String, Value>,
}

/// Failures are noted and passed over.
const IGNORE: &str = "cloudify.plugins.lifecycle._ignore_task_failure";
/// The subgraph of a node instance is run anew, where retries of subgraphs are configured.
const SUBGRAPH: &str = "cloudify.plugins.lifecycle._SubgraphOnFailure";
/// What the task says is kept with a node instance.
const CHECKED: &str = "cloudify.plugins.workflows.check_result";
const HEALED: &str = "cloudify.plugins.workflows.heal_result";
const UPDATED: &str = "cloudify.plugins.workflows.update_result";
const RELATIONSHIP: &str = "cloudify.plugins.lifecycle._relationship_subgraph_on_failure";

impl Handler {
    fn named(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            arguments: Map::new(),
        }
    }

    pub(crate) fn ignore() -> Self {
        Self::named(IGNORE)
    }

    pub(crate) fn relationship() -> Self {
        Self::named(RELATIONSHIP)
    }

    pub(crate) fn subgraph(instance: &str, on_retry: &str) -> Self {
        let mut handler = Self::named(SUBGRAPH);
        handler
            .arguments
            .insert("instance_id".into(), instance.into());
        handler.arguments.insert("on_retry".into(), on_retry.into());
        handler
    }

    /// What a check says is kept with the instance, under a name.
    pub(crate) fn checked(instance: &str, kept_as: &str, ignores: bool) -> Self {
        let mut handler = Self::named(CHECKED);
        handler.set("instance_id", instance.into());
        handler.set("kept_as", kept_as.into());
        handler.set("ignore", ignores.into());
        handler
    }

    /// What a check says of a relationship stands by the instance at its other end.
    pub(crate) fn about(mut self, other: &str) -> Self {
        self.set("other", other.into());
        self
    }

    /// Whether an instance could be healed is kept with it.
    pub(crate) fn healed(instance: &str) -> Self {
        let mut handler = Self::named(HEALED);
        handler.set("instance_id", instance.into());
        handler.set("ignore", true.into());
        handler
    }

    /// Whether an instance could follow its changed node is kept with it.
    pub(crate) fn updated(instance: &str) -> Self {
        let mut handler = Self::named(UPDATED);
        handler.set("instance_id", instance.into());
        handler.set("ignore", true.into());
        handler
    }

    fn set(&mut self, name: &str, value: Value) {
        self.arguments.insert(name.to_owned(), value);
    }

    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }

    pub(crate) fn is_check(&self) -> bool {
        self.path == CHECKED
    }

    pub(crate) fn is_healing(&self) -> bool {
        self.path == HEALED
    }

    pub(crate) fn is_updating(&self) -> bool {
        self.path == UPDATED
    }

    pub(crate) fn ignores(&self) -> bool {
        self.path == IGNORE || self.arguments.get("ignore") == Some(&Value::Bool(true))
    }
}

/// Why a task failed, as it is stored with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Class of the exception.
    #[serde(rename = "type")]
    pub(crate) class: String,
    pub(crate) message: String,
    pub(crate) traceback: Option<String>,
    /// When; milliseconds since the epoch.
    #[serde(default)]
    pub(crate) at_ms: i64,
}

impl Failure {
    pub(crate) fn new(error: &TaskError, at_ms: i64) -> Self {
        Self {
            at_ms,
            class: match error.exception_type.as_str() {
                "" => error.known_exception_type.clone(),
                class => class.to_owned(),
            },
            message: error.message.clone(),
            traceback: error.traceback.clone(),
        }
    }
}

/// The stored parameters of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parameters {
    #[serde(default)]
    pub(crate) on_success: Option<Handler>,
    #[serde(default)]
    pub(crate) on_failure: Option<Handler>,
    #[serde(default)]
    pub(crate) retried_task: Option<String>,
    #[serde(default)]
    pub(crate) current_retries: i64,
    #[serde(default)]
    pub(crate) send_task_events: bool,
    #[serde(default = "default_interval")]
    pub(crate) retry_interval: Number,
    #[serde(default)]
    pub(crate) total_retries: i64,
    #[serde(default)]
    pub(crate) info: Value,
    #[serde(default)]
    pub(crate) error: Option<Failure>,
    #[serde(default)]
    pub(crate) containing_subgraph: Option<String>,
    #[serde(default)]
    pub(crate) task_kwargs: Map<String, Value>,
    /// Not before this moment; milliseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) execute_after_ms: Option<i64>,
}

/// Seconds between attempts where a task says nothing else.
const DEFAULT_INTERVAL_S: i64 = 30;

fn default_interval() -> Number {
    DEFAULT_INTERVAL_S.into()
}

impl Parameters {
    /// Those of a task inside the server: no retries, no task events.
    pub(crate) fn local(task_kwargs: Map<String, Value>, info: Value) -> Self {
        Self {
            on_success: None,
            on_failure: None,
            retried_task: None,
            current_retries: 0,
            send_task_events: false,
            retry_interval: default_interval(),
            total_retries: 0,
            info,
            error: None,
            containing_subgraph: None,
            task_kwargs,
            execute_after_ms: None,
        }
    }
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) dependencies: Vec<String>,
    pub(crate) parameters: Parameters,
}

impl Task {
    /// # Errors
    /// When the stored parameters have another shape.
    pub(crate) fn from_stored(
        operation: &operations::Operation,
    ) -> Result<Self, serde_json::Error> {
        let parameters = operation
            .parameters
            .as_ref()
            .map_or("{}", |parameters| parameters.get());
        Ok(Self {
            id: operation.id.clone(),
            name: operation.name.clone(),
            kind: Kind::from_wire(&operation.operation_type),
            state: State::from_wire(&operation.state),
            dependencies: operation.dependencies.clone(),
            parameters: serde_json::from_str(parameters)?,
        })
    }

    /// The arguments of an operation with its context.
    pub(crate) fn kwargs(&self) -> Option<&Map<String, Value>> {
        self.parameters.task_kwargs.get("kwargs")?.as_object()
    }

    /// The context of an operation.
    pub(crate) fn context(&self) -> Option<&Map<String, Value>> {
        self.kwargs()?
            .get(crate::broker::wire::CONTEXT_KEY)?
            .as_object()
    }

    /// Whether an agent on a host runs it.
    pub(crate) fn is_for_agent(&self) -> bool {
        let executor = self.context().and_then(|context| context.get("executor"));
        executor.and_then(Value::as_str) == Some(HOST_AGENT)
    }

    /// An argument of a task inside the server.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.parameters.task_kwargs.get(name)?.as_str()
    }

    /// The node instance it works on.
    pub(crate) fn node_instance(&self) -> Option<&str> {
        self.argument("node_instance_id")
            .or_else(|| self.context()?.get("node_id")?.as_str())
    }

    /// How error messages call it.
    pub(crate) fn description(&self) -> Cow<'_, str> {
        let operation = self
            .context()
            .and_then(|context| context.get("operation")?.get("name")?.as_str());
        match (self.node_instance(), operation) {
            (Some(instance), Some(operation)) => {
                format!("{} ({instance}:{operation})", self.name).into()
            }
            _ => self.name.as_str().into(),
        }
    }

    /// The next attempt, under a new id.
    pub(crate) fn retried(&self, id: String, execute_after_ms: i64) -> Self {
        let mut next = self.clone();
        next.state = State::Pending;
        next.parameters.retried_task = Some(self.id.clone());
        next.parameters.current_retries += 1;
        next.parameters.error = None;
        next.parameters.execute_after_ms = Some(execute_after_ms);
        let retries = next.parameters.current_retries;
        if let Some(context) = next.context_mut() {
            context.insert("task_id".into(), id.as_str().into());
            if let Some(Value::Object(operation)) = context.get_mut("operation") {
                operation.insert("retry_number".into(), retries.into());
            }
        }
        next.id = id;
        next
    }

    fn context_mut(&mut self) -> Option<&mut Map<String, Value>> {
        self.parameters
            .task_kwargs
            .get_mut("kwargs")?
            .get_mut(crate::broker::wire::CONTEXT_KEY)?
            .as_object_mut()
    }

    /// Whether a failure of it is passed over.
    pub(crate) fn is_ignored(&self) -> bool {
        self.parameters
            .on_failure
            .as_ref()
            .is_some_and(Handler::ignores)
    }

    /// Whether those who wait for it may go on.
    pub(crate) fn is_done(&self) -> bool {
        match self.state {
            State::Succeeded => true,
            State::Failed => self.is_ignored(),
            _ => false,
        }
    }
}
