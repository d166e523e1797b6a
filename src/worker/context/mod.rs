//! What a script sees as `ctx`: loaded from the manager when asked for, written back when the
//! operation ends.
mod attributes;
mod evaluate;
mod methods;
mod native;
mod path;
mod render;
mod store;

use std::{collections::HashMap, sync::Arc};

use serde_json::{Map, Value, json};

pub(super) use evaluate::Answer;

use super::{
    log::Logger,
    resources::{ResourceError, Resources},
    rest::{RestError, Session},
};
use crate::broker::wire::OperationTask;

/// Why a call on the context failed, as its caller is told.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub(super) struct ContextError {
    /// Name of the Python exception that says it best.
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl ContextError {
    fn runtime(message: impl Into<String>) -> Self {
        Self {
            kind: "RuntimeError",
            message: message.into(),
        }
    }

    fn definite(message: impl Into<String>) -> Self {
        Self {
            kind: "NonRecoverableError",
            message: message.into(),
        }
    }
}

impl From<RestError> for ContextError {
    fn from(error: RestError) -> Self {
        Self {
            kind: "CloudifyClientError",
            message: error.to_string(),
        }
    }
}

impl From<ResourceError> for ContextError {
    fn from(error: ResourceError) -> Self {
        match error {
            ResourceError::NotFound(_) => Self {
                kind: "HttpException",
                message: error.to_string(),
            },
            ResourceError::Rest(error) => error.into(),
            ResourceError::Write { .. } => Self {
                kind: "OSError",
                message: error.to_string(),
            },
        }
    }
}

impl From<path::IllegalPath> for ContextError {
    fn from(error: path::IllegalPath) -> Self {
        Self::runtime(error.to_string())
    }
}

/// Which instance: the operation's own, or an end of its relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Own,
    Source,
    Target,
}

/// An instance with its node; both are loaded on first use.
#[derive(Debug, Default)]
struct Subject {
    instance_id: String,
    node_name: String,
    instance: Option<Instance>,
    node: Option<Value>,
}

#[derive(Debug)]
struct Instance {
    fields: Value,
    version: i64,
    /// The runtime properties as they were loaded, to see what changed.
    loaded: Map<String, Value>,
    properties: Map<String, Value>,
}

impl Instance {
    fn is_dirty(&self) -> bool {
        self.loaded != self.properties
    }
}

/// How the script said it wants to end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    Returned(Value),
    Aborted(String),
    /// The message is with [`Context::retry`].
    Retried,
    /// More than one of them.
    Illegal,
}

/// `ctx.operation.retry`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedRetry {
    pub(super) message: String,
    pub(super) after_s: Option<f64>,
}

/// The state behind `ctx` for one operation.
#[derive(Debug)]
pub(super) struct Context {
    task: Arc<OperationTask>,
    session: Session,
    logger: Logger,
    resources: Resources,
    subjects: HashMap<Side, Subject>,
    pub(super) ending: Option<Ending>,
    pub(super) retry: Option<AskedRetry>,
}

impl Context {
    pub(super) fn new(task: Arc<OperationTask>, session: Session, logger: Logger) -> Self {
        let resources = Resources::new(session.clone(), &task.context);
        let mut subjects = HashMap::new();
        let own = subject(
            task.context.node_id.as_deref(),
            task.context.node_name.as_deref(),
        );
        match &task.context.related {
            Some(related) => {
                let other = subject(Some(&related.node_id), Some(&related.node_name));
                let (source, target) = if related.is_target {
                    (own, other)
                } else {
                    (other, own)
                };
                subjects.insert(Side::Source, source);
                subjects.insert(Side::Target, target);
            }
            None if task
                .context
                .node_id
                .as_deref()
                .is_some_and(|id| !id.is_empty()) =>
            {
                subjects.insert(Side::Own, own);
            }
            None => {}
        }
        let (ending, retry) = (None, None);
        Self {
            task,
            session,
            logger,
            resources,
            subjects,
            ending,
            retry,
        }
    }

    /// `node-instance`, `relationship-instance` or `deployment`
    pub(super) fn kind(&self) -> &'static str {
        if self.subjects.contains_key(&Side::Own) {
            "node-instance"
        } else if self.subjects.is_empty() {
            "deployment"
        } else {
            "relationship-instance"
        }
    }

    /// Which instances the functions in the inputs refer to.
    pub(super) fn evaluation_context(&self) -> Value {
        let ids = |side| {
            self.subjects
                .get(&side)
                .map(|found| (&found.instance_id, &found.node_name))
        };
        match (ids(Side::Own), ids(Side::Source), ids(Side::Target)) {
            (Some((id, _)), ..) => json!({"self": id}),
            (None, Some(source), Some(target)) => json!({
                "source": source.0, "target": target.0,
                "source_node": source.1, "target_node": target.1,
            }),
            _ => json!({}),
        }
    }

    fn subject(&mut self, side: Side) -> Result<&mut Subject, ContextError> {
        let kind = self.kind();
        let wanted = match side {
            Side::Own => "ctx.node/ctx.instance can only be used in a node-instance context",
            Side::Source | Side::Target => {
                "ctx.source/ctx.target can only be used in a relationship-instance context"
            }
        };
        let missing = || ContextError::definite(format!("{wanted} but used in a {kind} context."));
        self.subjects.get_mut(&side).ok_or_else(missing)
    }
}

fn subject(instance_id: Option<&str>, node_name: Option<&str>) -> Subject {
    Subject {
        instance_id: instance_id.unwrap_or_default().to_owned(),
        node_name: node_name.unwrap_or_default().to_owned(),
        ..Subject::default()
    }
}

#[cfg(test)]
mod tests;
