//! "Run this operation": from a workflow to a worker or an agent.
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use super::{CONTEXT_KEY, TaskBody, WireError};

/// The version that peers write into a context.
pub const CONTEXT_VERSION: &str = "0.3";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantRef {
    pub name: String,
    /// Older peers put the tenant's broker credentials here.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TenantRef {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            extra: Map::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plugin {
    pub name: Option<String>,
    pub package_name: Option<String>,
    pub package_version: Option<String>,
    pub visibility: Option<String>,
    pub tenant_name: Option<String>,
    pub source: Option<String>,
    pub properties: Value,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Plugin {
    /// What pip is told besides, as workers read it; most plugins say nothing.
    pub fn arguments(given: Option<String>) -> Map<String, Value> {
        let given = given.map(|given| ("install_arguments".to_owned(), json!(given)));
        given.into_iter().collect()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operation {
    pub name: Option<String>,
    pub retry_number: i64,
    pub max_retries: i64,
    /// `source` or `target` in operations of a relationship.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relationship: Option<String>,
}

/// The other end of the relationship whose operation this is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Related {
    pub node_id: String,
    pub node_name: String,
    /// Whether that other end is the relationship's target.
    pub is_target: bool,
}

/// Everything a worker needs to know about the operation, besides its inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationContext {
    #[serde(rename = "__cloudify_context")]
    pub version: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub task_id: Option<String>,
    pub task_name: String,
    pub execution_id: Option<String>,
    pub workflow_id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub tenant: TenantRef,
    /// Seconds.
    pub timeout: Option<f64>,
    pub timeout_recoverable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub plugin: Plugin,
    #[serde(deserialize_with = "or_default")]
    pub operation: Operation,
    pub has_intrinsic_functions: bool,
    pub host_id: Option<String>,
    pub executor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_env: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
    pub local: bool,
    pub rest_token: Option<String>,
    pub execution_token: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    pub rest_host: Vec<String>,
    pub rest_port: Option<u16>,
    pub bypass_maintenance: Option<bool>,
    pub workflow_parameters: Value,
    pub execution_creator_username: Option<String>,
    pub blueprint_id: Option<String>,
    pub deployment_id: Option<String>,
    pub deployment_display_name: Option<String>,
    pub deployment_creator: Option<String>,
    pub deployment_resource_tags: Value,
    pub task_queue: Option<String>,
    pub task_target: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OperationContext {
    pub fn token(&self) -> Option<&str> {
        self.execution_token
            .as_deref()
            .or(self.rest_token.as_deref())
    }
}

/// One operation to run.
#[derive(Clone, Debug)]
pub struct OperationTask {
    /// Also the correlation id of the response and the id of the stored operation, if there is one.
    pub id: Option<String>,
    pub args: Vec<Value>,
    pub inputs: Map<String, Value>,
    pub context: OperationContext,
    /// The context as it arrived, for handing on.
    pub raw_context: Map<String, Value>,
}

impl OperationTask {
    pub(super) fn from_parts(id: Option<String>, body: TaskBody) -> Result<Self, WireError> {
        let mut inputs = body.kwargs;
        let Some(Value::Object(raw_context)) = inputs.shift_remove(CONTEXT_KEY) else {
            return Err(WireError::NoContext);
        };
        let context = OperationContext::deserialize(Value::Object(raw_context.clone()))?;
        let args = body.args.unwrap_or_default();
        Ok(Self {
            id,
            args,
            inputs,
            context,
            raw_context,
        })
    }

    /// The task's id: of the envelope or, as some senders have it, only of the context.
    pub fn task_id(&self) -> Option<&str> {
        self.id.as_deref().or(self.context.task_id.as_deref())
    }

    /// The body to publish.
    pub fn body(
        context: &OperationContext,
        inputs: &Map<String, Value>,
    ) -> Result<Value, serde_json::Error> {
        let mut kwargs = inputs.clone();
        kwargs.insert(CONTEXT_KEY.to_owned(), serde_json::to_value(context)?);
        Ok(json!({"id": context.task_id, "cloudify_task": {"kwargs": kwargs}}))
    }
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A host may come alone instead of in a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Hosts {
        Many(Vec<String>),
        One(String),
    }
    Ok(match Option::<Hosts>::deserialize(deserializer)? {
        Some(Hosts::Many(hosts)) => hosts,
        Some(Hosts::One(host)) => vec![host],
        None => Vec::new(),
    })
}
