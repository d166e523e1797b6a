//! The bodies of the messages, as the peers write and read them.
//!
//! Reading is lenient (sparse contexts, absent and unknown fields, strings as errors, odd
//! timestamps); what we write is always complete. Unknown fields of an operation's context are
//! kept, so that it can be handed on unchanged.
mod event;
pub mod metrics;
mod operation;
mod response;
pub mod service;
mod workflow;

pub use event::{
    EventContext, EventMessage, HookContext, HookMessage, LogMessage, Telemetry, Text,
    parse_timestamp,
};
pub use metrics::{Load, Memory, Metrics, OddMetrics, Operations};
pub use operation::{
    CONTEXT_VERSION, Operation, OperationContext, OperationTask, Plugin, Related, TenantRef,
};
pub use response::{Cause, Response, Retry, TaskError};
pub use service::{CancelOperation, PingReply, ServiceTask};
pub use workflow::{WorkflowContext, WorkflowDeployment, WorkflowTask};

use serde::Deserialize;
use serde_json::{Map, Value};

/// Name of the context among the arguments of a task.
pub const CONTEXT_KEY: &str = "__cloudify_context";

/// Why a body is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the message is no valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the message is neither a task nor a service task")]
    UnknownKind,
    #[error("the task has no context")]
    NoContext,
}

/// What arrives in the queues of workers and agents.
#[derive(Clone, Debug)]
pub enum Request {
    Task(Box<OperationTask>),
    Service(ServiceTask),
}

impl Request {
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let envelope: Envelope = serde_json::from_slice(body)?;
        match envelope {
            Envelope {
                service_task: Some(task),
                ..
            } => Ok(Self::Service(task)),
            Envelope {
                cloudify_task: Some(task),
                id,
                ..
            } => Ok(Self::Task(Box::new(OperationTask::from_parts(id, task)?))),
            _ => Err(WireError::UnknownKind),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Envelope {
    id: Option<String>,
    cloudify_task: Option<TaskBody>,
    service_task: Option<ServiceTask>,
}

#[derive(Debug, Deserialize)]
struct TaskBody {
    #[serde(default)]
    args: Option<Vec<Value>>,
    #[serde(default)]
    kwargs: Map<String, Value>,
}

#[cfg(test)]
mod tests;
