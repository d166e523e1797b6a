//! Execution logs and events: recorded for an execution, told by the server itself, or sent by
//! workers and agents.
use std::collections::HashMap;

use serde_json::Value;
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{executions::Execution, scoped},
};
use stratalog_schema::{Meta, events::TelemetryRecord};
use uuid::Uuid;

use super::executions;
use crate::{
    clock,
    context::Context,
    error::{Error, ErrorCode},
    log::{Append, Appended},
    store::View,
};

/// What a sender says of one record.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Identity of the record; fresh when absent.
    pub id: Option<Uuid>,
    /// A log line; otherwise an event.
    pub is_log: bool,
    /// Type of the event.
    pub event_type: String,
    /// Name of the logger.
    pub logger: String,
    /// Level of the log line.
    pub level: String,
    /// Its text.
    pub message: String,
    /// Code of the text.
    pub message_code: Option<String>,
    /// Operation it speaks of.
    pub operation: Option<String>,
    /// Node instance it speaks of.
    pub node_instance_id: Option<String>,
    /// Source of the relationship it speaks of.
    pub source_id: Option<String>,
    /// Target of the relationship it speaks of.
    pub target_id: Option<String>,
    /// Causes of a failed task: a list.
    pub error_causes: Option<Value>,
    /// When, by the sender's clock; microseconds since the epoch.
    pub timestamp_us: Option<i64>,
    /// When it was reported; microseconds since the epoch.
    pub reported_timestamp_us: Option<i64>,
    /// Manager that sent it.
    pub manager_name: Option<String>,
    /// Agent that sent it.
    pub agent_name: Option<String>,
}

/// Causes as a list, whatever the sender made of them.
fn causes(value: Option<Value>) -> Option<String> {
    let value = match value? {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        other => other,
    };
    value.is_array().then(|| value.to_string())
}

/// A NUL cannot be stored as text.
fn text(text: &str) -> String {
    text.replace('\0', "<NUL>")
}

/// The record of what was said for an execution.
pub fn record(execution: &Execution, node_name: Option<String>, said: Said) -> TelemetryRecord {
    let now_us = clock::now_us();
    let id = said.id.unwrap_or_else(Uuid::now_v7);
    TelemetryRecord {
        event_id: id.as_bytes().to_vec(),
        tenant: execution.tenant_name.clone(),
        visibility: execution.visibility.clone(),
        created_by: execution.created_by.clone(),
        is_log: said.is_log,
        timestamp_us: said.timestamp_us.unwrap_or(now_us),
        reported_timestamp_us: said.reported_timestamp_us.unwrap_or(now_us),
        execution_id: execution.id.clone(),
        execution_group_id: String::new(),
        deployment_id: execution.deployment_id.clone().unwrap_or_default(),
        deployment_display_name: execution
            .deployment_display_name
            .clone()
            .unwrap_or_default(),
        blueprint_id: execution.blueprint_id.clone().unwrap_or_default(),
        workflow_id: execution.workflow_id.clone(),
        message: text(&said.message),
        message_code: said.message_code.unwrap_or_default(),
        event_type: said.event_type,
        logger: said.logger,
        level: said.level.to_lowercase(),
        operation: said.operation,
        node_instance_id: said.node_instance_id,
        node_name,
        source_id: said.source_id,
        target_id: said.target_id,
        error_causes_json: causes(said.error_causes),
        manager_name: said.manager_name,
        agent_name: said.agent_name,
    }
}

/// Names of the nodes that node instances belong to, by the instances' keys; one query for all.
///
/// # Errors
/// Database errors.
pub async fn node_names(
    view: &View,
    mut keys: Vec<String>,
) -> Result<HashMap<String, String>, Error> {
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let query =
        ListQuery::all(ViewName::NodeInstances, Scope::Everything).with(Condition::Keys(keys));
    let picked = view.pick(&query, &["node_id"]).await?;
    let named = picked
        .into_iter()
        .filter_map(|(key, mut values)| Some((key, values.pop()??)));
    Ok(named.collect())
}

fn instance_key(execution: &Execution, said: &Said) -> Option<String> {
    Some(scoped(
        &execution.tenant_name,
        said.node_instance_id.as_ref()?,
    ))
}

/// Records of what was said for an execution.
///
/// # Errors
/// Database errors.
pub(crate) async fn records(
    view: &View,
    execution: &Execution,
    said: &[Said],
) -> Result<Vec<TelemetryRecord>, Error> {
    let keys = said.iter().filter_map(|said| instance_key(execution, said));
    let names = node_names(view, keys.collect()).await?;
    let named = said.iter().map(|said| {
        let name = instance_key(execution, said).and_then(|key| names.get(&key).cloned());
        record(execution, name, said.clone())
    });
    Ok(named.collect())
}

/// As [`records`], without asking the database; `None` where it has to be asked.
pub(crate) fn records_known(
    ctx: &Context,
    execution: &Execution,
    said: &[Said],
) -> Option<Vec<TelemetryRecord>> {
    let latest = ctx.store.log().latest();
    let named = said.iter().map(|said| {
        let name = match instance_key(execution, said) {
            None => None,
            Some(key) => {
                let of = ViewName::NodeInstances;
                let row = latest.ask(|known| known.row(of, &key))?;
                Some(row.text(of, "node_id")?.to_owned())
            }
        };
        Some(record(execution, name, said.clone()))
    });
    named.collect()
}

/// Records what a worker says for an execution; returns once it is durable.
///
/// # Errors
/// 404 for an execution that does not exist.
pub async fn record_all(
    ctx: &Context,
    meta: Meta,
    (tenant, execution): (&str, &str),
    said: &[Said],
) -> Result<Appended, Error> {
    let append = |telemetry, rests_on| Append {
        meta: meta.clone(),
        telemetry,
        rests_on,
        ..Append::default()
    };
    if let Some((running, generation)) = executions::running(ctx, (tenant, execution))?
        && let Some(records) = records_known(ctx, &running, said)
    {
        let append = append(records, Some(generation));
        if let Some(appended) = ctx.store.append_known(append).await? {
            return Ok(appended);
        }
    }
    let view = ctx.store.read(stratalog_projections::At::Now).await?;
    let found: Option<Execution> = view.get(&scoped(tenant, execution)).await?;
    let found = found.ok_or_else(|| Error::not_found("Execution", execution))?;
    let records = records(&view, &found, said).await?;
    drop(view.finish().await?);
    ctx.store.append(append(records, None)).await
}

/// Neither an execution nor an execution group was named.
pub fn nobody_named() -> Error {
    Error::refused(
        ErrorCode::Conflict,
        "execution_id or execution_group_id is required",
    )
}
