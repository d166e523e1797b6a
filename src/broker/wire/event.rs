//! Events, logs and hooks on the events and logs exchanges.
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{TenantRef, WireError};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Text {
    pub text: Option<String>,
    pub arguments: Value,
}

/// Where an event or a log line comes from. Relationship operations name both ends instead of a
/// node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventContext {
    pub execution_id: Option<String>,
    pub deployment_id: Option<String>,
    pub blueprint_id: Option<String>,
    pub workflow_id: Option<String>,
    pub tenant: Option<TenantRef>,
    pub operation: Option<String>,
    /// The node *instance*.
    pub node_id: Option<String>,
    pub node_name: Option<String>,
    pub source_id: Option<String>,
    pub target_id: Option<String>,
    pub task_error_causes: Value,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventMessage {
    pub event_type: Option<String>,
    pub timestamp: Option<String>,
    pub message_code: Option<String>,
    pub context: EventContext,
    pub message: Text,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogMessage {
    pub logger: Option<String>,
    pub level: Option<String>,
    pub timestamp: Option<String>,
    pub message_code: Option<String>,
    pub context: EventContext,
    pub message: Text,
}

/// What arrives in the queue of logs and events.
#[derive(Clone, Debug, PartialEq)]
pub enum Telemetry {
    Event(EventMessage),
    Log(LogMessage),
    /// Hooks match the pattern of events too; they are for somebody else.
    Hook,
}

impl Telemetry {
    /// Tells by `type` and, where it is absent, by the level that only logs have.
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let value: Value = serde_json::from_slice(body)?;
        let kind = value.get("type").and_then(Value::as_str);
        let hook = value
            .pointer("/context/message_type")
            .and_then(Value::as_str)
            == Some("hook");
        let log = kind == Some("cloudify_log") || (kind.is_none() && value.get("level").is_some());
        Ok(match (value.is_object(), hook, log) {
            (false, ..) => return Err(WireError::UnknownKind),
            (true, true, _) => Self::Hook,
            (true, false, true) => Self::Log(serde_json::from_value(value)?),
            (true, false, false) => Self::Event(serde_json::from_value(value)?),
        })
    }
}

/// What a hook is told about the execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookContext {
    pub message_type: String,
    pub is_system_workflow: bool,
    pub blueprint_id: Option<String>,
    pub deployment_id: Option<String>,
    pub execution_id: String,
    pub workflow_id: String,
    pub tenant_name: String,
    pub rest_token: Option<String>,
    pub tenant: TenantRef,
    /// Absent for system workflows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_parameters: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookMessage {
    #[serde(rename = "type")]
    pub kind: String,
    pub event_type: String,
    pub context: HookContext,
    pub message: Text,
    pub timestamp: String,
    pub message_code: Option<String>,
}

impl HookMessage {
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        Ok(serde_json::from_slice(body)?)
    }
}

/// Reads the timestamps peers write, which lose their seconds when the microseconds happen to be
/// zero. A time without an offset is UTC. `None` for anything else: the receiver's clock is used
/// then.
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    let bare = text.trim_end_matches(['Z', 'z']);
    [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
    ]
    .iter()
    .find_map(|format| NaiveDateTime::parse_from_str(bare, format).ok())
    .or_else(|| {
        NaiveDate::parse_from_str(bare, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    })
    .map(|time| time.and_utc())
}
