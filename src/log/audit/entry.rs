//! One line of the audit log, as the tool prints it and the REST API serves it.
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stratalog_schema::Recorded;

use crate::error::Error;

/// An event with all that surrounds it. Secrets are masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the log.
    pub position: i64,
    /// When its batch was committed, RFC 3339 with microseconds.
    pub recorded_at: String,
    /// Its identity.
    pub event_id: String,
    /// Kind of thing it happened to.
    pub category: String,
    /// Key of that thing: an id, or `tenant/id`.
    pub stream: String,
    /// Number of its stream.
    pub stream_no: i64,
    /// Place in its stream.
    pub version: i64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// How they proved who they are.
    pub auth_method: String,
    /// Tenant of the request.
    pub tenant: String,
    /// The request or message that asked for it.
    pub request_id: String,
    /// Execution on whose behalf it was done; empty where none applies.
    pub execution_id: String,
    /// Event that led to it.
    pub causation_id: Option<String>,
    /// Shared by all that follows from one request.
    pub correlation_id: Option<String>,
    /// The event's fields.
    pub data: Value,
}

impl Entry {
    pub(super) fn of(stream_no: i64, recorded: Recorded) -> Result<Self, Error> {
        let tagged = serde_json::to_value(&recorded.event).map_err(Error::internal)?;
        let tagged: Map<String, Value> = serde_json::from_value(tagged).map_err(Error::internal)?;
        let (kind, data) = tagged.into_iter().next().unwrap_or_default();
        let meta = recorded.meta;
        Ok(Self {
            position: recorded.position,
            recorded_at: recorded
                .recorded_at
                .to_rfc3339_opts(SecondsFormat::Micros, true),
            event_id: recorded.event_id.to_string(),
            category: recorded.stream.category.name().to_owned(),
            stream: recorded.stream.key,
            stream_no,
            version: recorded.version,
            kind,
            actor: meta.actor,
            auth_method: meta.auth_method,
            tenant: meta.tenant,
            request_id: meta.request_id,
            execution_id: meta.execution_id,
            causation_id: meta.causation_id.map(|id| id.to_string()),
            correlation_id: meta.correlation_id.map(|id| id.to_string()),
            data,
        })
    }
}
