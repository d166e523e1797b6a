//! `/events`: execution logs and events, read from the telemetry lane and written by workers.
use std::{fmt::Write as _, sync::Arc};

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use stratalog_schema::{events::TelemetryRecord, time::wire_us};
use uuid::Uuid;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::logs::{self, Said},
    context::Context,
    error::{Error, ErrorCode},
    log::telemetry::{Found, Key, Question, Test},
    rest::{
        Answer, Include, Query, Request, Route, extract, one_of, remembered::remembered_telemetry,
        reply,
    },
};

/// Page size when none is asked for; larger here than elsewhere.
const SIZE_DEFAULT: i64 = 10_000;

/// Fields of an item, as `_include` may name them.
const FIELDS: [&str; 23] = [
    "_storage_id",
    "timestamp",
    "reported_timestamp",
    "blueprint_id",
    "deployment_id",
    "deployment_display_name",
    "execution_id",
    "execution_group_id",
    "workflow_id",
    "message",
    "error_causes",
    "event_type",
    "operation",
    "source_id",
    "target_id",
    "node_instance_id",
    "node_name",
    "manager_name",
    "agent_name",
    "logger",
    "level",
    "type",
    "node_id",
];

/// `/events`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("events")
        .and(one_of(vec![list(ctx), post(ctx)]))
        .boxed()
}

/// `GET /events`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            remembered_telemetry(&req, listed(&req)).await
        })
        .map(reply::ok)
        .boxed()
}

async fn listed(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::EventList)?;
    let include = Include::parse(req.query(), |name| FIELDS.contains(&name))?;
    let mut question = question(req.query(), req.caller.tenant()?)?;
    let view = req.view().await?;
    question.upto = view.position();
    let page = question.ask(&view).await?;
    let position = view.position();
    drop(view.finish().await?);
    let mut text = String::from(r#"{"items":["#);
    for (i, found) in page.records.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        let item = item(found).to_string();
        match &include {
            Some(include) => text.push_str(&include.project(&item)?),
            None => text.push_str(&item),
        }
    }
    write!(
        text,
        r#"],"metadata":{{"pagination":{{"total":{},"size":{},"offset":{}}}}}}}"#,
        page.total, question.size, question.offset
    )
    .map_err(Error::internal)?;
    Ok(Answer::text(text).at(position))
}

fn values(query: &Query, key: &str) -> Option<Vec<String>> {
    let values: Vec<String> = query.all(key).map(str::to_owned).collect();
    (!values.is_empty()).then_some(values)
}

fn question(query: &Query, tenant: &str) -> Result<Question, Error> {
    let kinds = values(query, "type").unwrap_or_default();
    let asked = |kind: &str| kinds.is_empty() || kinds.iter().any(|asked| asked == kind);
    let mut question = Question {
        tenant: tenant.to_owned(),
        // a level is a log's, a type an event's
        events: asked("cloudify_event") && query.get("level").is_none(),
        logs: asked("cloudify_log") && query.get("event_type").is_none(),
        executions: values(query, "execution_id"),
        groups: values(query, "execution_group_id"),
        deployments: values(query, "deployment_id"),
        blueprints: values(query, "blueprint_id"),
        ..Question::default()
    };
    for (key, _) in query.iter().filter(|(key, _)| !key.starts_with('_')) {
        if let Some(test) = test(query, key)? {
            question.tests.push(test);
        }
    }
    for range in query.all("_range") {
        question.tests.push(range_test(range)?);
    }
    for sort in query.all("_sort") {
        question.sort.push(sort_key(sort)?);
    }
    let whole = query.flag("_get_all_results")?;
    let size = query.number("_size")?.unwrap_or(SIZE_DEFAULT);
    let size = if whole { i64::MAX } else { size };
    question.size = usize::try_from(size).map_err(Error::internal)?;
    let offset = query.number("_offset")?.unwrap_or(0);
    question.offset = usize::try_from(offset).map_err(Error::internal)?;
    Ok(question)
}

fn one_of_texts(wanted: Vec<String>, field: fn(&TelemetryRecord) -> Option<&str>) -> Test {
    Box::new(move |record| {
        field(record).is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
    })
}

/// The test a filter means; `None` for those the references answer.
fn test(query: &Query, key: &str) -> Result<Option<Test>, Error> {
    let wanted = values(query, key).unwrap_or_default();
    Ok(Some(match key {
        "type" | "execution_id" | "execution_group_id" | "deployment_id" | "blueprint_id" => {
            return Ok(None);
        }
        "event_type" => one_of_texts(wanted, |r| Some(&r.event_type)),
        "level" => one_of_texts(wanted, |r| Some(&r.level)),
        "node_id" => one_of_texts(wanted, |r| r.node_name.as_deref()),
        "node_instance_id" => one_of_texts(wanted, |r| r.node_instance_id.as_deref()),
        "operation" => like(wanted, |r| r.operation.as_deref()),
        "message" | "message.text" => like(wanted, |r| Some(&r.message)),
        other => {
            return Err(Error::bad_parameters(format!(
                "Unknown field to filter by: {other}"
            )));
        }
    }))
}

/// SQL's `ILIKE`: the caller supplies the wildcards.
fn like(patterns: Vec<String>, field: fn(&TelemetryRecord) -> Option<&str>) -> Test {
    let patterns: Vec<Vec<char>> = patterns
        .iter()
        .map(|pattern| pattern.to_lowercase().chars().collect())
        .collect();
    Box::new(move |record| {
        field(record).is_some_and(|value| {
            let value: Vec<char> = value.to_lowercase().chars().collect();
            patterns.iter().any(|pattern| matches_like(pattern, &value))
        })
    })
}

/// Whether a text matches a pattern of `%` and `_`; linear in the product of their lengths.
fn matches_like(pattern: &[char], text: &[char]) -> bool {
    let mut reachable = vec![false; text.len() + 1];
    if let Some(first) = reachable.first_mut() {
        *first = true;
    }
    for symbol in pattern {
        let mut next = vec![false; text.len() + 1];
        let mut any = false;
        for (at, reached) in next.iter_mut().enumerate() {
            any |= reachable.get(at).copied().unwrap_or(false);
            *reached = match symbol {
                '%' => any,
                _ => {
                    at > 0 && {
                        let fits = *symbol == '_' || text.get(at - 1) == Some(symbol);
                        fits && reachable.get(at - 1).copied().unwrap_or(false)
                    }
                }
            };
        }
        reachable = next;
    }
    reachable.last().copied().unwrap_or(false)
}

fn time_field(name: &str) -> Option<fn(&TelemetryRecord) -> i64> {
    match name.trim_start_matches('@') {
        "timestamp" => Some(|record| record.timestamp_us),
        "reported_timestamp" => Some(|record| record.reported_timestamp_us),
        _ => None,
    }
}

fn range_test(range: &str) -> Result<Test, Error> {
    let bad = || Error::bad_parameters(format!("Range `{range}` is not `field,from,to`"));
    let [name, from, to] = range.splitn(3, ',').collect::<Vec<_>>()[..] else {
        return Err(bad());
    };
    let field = time_field(name).ok_or_else(|| {
        Error::bad_parameters(format!("Unknown field for range filtering: {name}"))
    })?;
    let moment = |text: &str| match text.trim() {
        "" => Ok(None),
        text => crate::broker::wire::parse_timestamp(text)
            .map(|at| Some(at.timestamp_micros()))
            .ok_or_else(bad),
    };
    let (from, to) = (moment(from)?, moment(to)?);
    if from.is_none() && to.is_none() {
        return Err(bad());
    }
    Ok(Box::new(move |record| {
        let at = field(record);
        from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
    }))
}

fn sort_key(text: &str) -> Result<(Key, bool), Error> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text.trim_start_matches(['+', ' ']), false),
    };
    let key = match name.trim_start_matches('@') {
        "timestamp" => Key::Timestamp,
        "reported_timestamp" => Key::ReportedTimestamp,
        "_storage_id" => Key::Position,
        "message" => Key::Text(|r| &r.message),
        "event_type" => Key::Text(|r| &r.event_type),
        "level" => Key::Text(|r| &r.level),
        "logger" => Key::Text(|r| &r.logger),
        "execution_id" => Key::Text(|r| &r.execution_id),
        "deployment_id" => Key::Text(|r| &r.deployment_id),
        "blueprint_id" => Key::Text(|r| &r.blueprint_id),
        "workflow_id" => Key::Text(|r| &r.workflow_id),
        "operation" => Key::Text(|r| r.operation.as_deref().unwrap_or_default()),
        "node_name" | "node_id" => Key::Text(|r| r.node_name.as_deref().unwrap_or_default()),
        "node_instance_id" => Key::Text(|r| r.node_instance_id.as_deref().unwrap_or_default()),
        other => {
            return Err(Error::bad_parameters(format!(
                "Unknown field to sort by: {other}"
            )));
        }
    };
    Ok((key, descending))
}

fn or_null(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        json!(text)
    }
}

/// An item as the wire shows it.
fn item((position, record): &Found) -> Value {
    let causes = record
        .error_causes_json
        .as_ref()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut item = json!({
        "_storage_id": position,
        "timestamp": wire_us(record.timestamp_us),
        "reported_timestamp": wire_us(record.reported_timestamp_us),
        "blueprint_id": or_null(&record.blueprint_id),
        "deployment_id": or_null(&record.deployment_id),
        "deployment_display_name": or_null(&record.deployment_display_name),
        "execution_id": or_null(&record.execution_id),
        "execution_group_id": or_null(&record.execution_group_id),
        "workflow_id": or_null(&record.workflow_id),
        "message": record.message,
        "error_causes": causes,
        "operation": record.operation,
        "source_id": record.source_id,
        "target_id": record.target_id,
        "manager_name": record.manager_name,
        "agent_name": record.agent_name,
        "node_instance_id": record.node_instance_id,
        "node_name": record.node_name,
    });
    if let Some(fields) = item.as_object_mut() {
        if record.is_log {
            fields.insert("logger".to_owned(), json!(record.logger));
            fields.insert("level".to_owned(), json!(record.level));
            fields.insert("type".to_owned(), json!("cloudify_log"));
        } else {
            fields.insert("event_type".to_owned(), json!(record.event_type));
            fields.insert("type".to_owned(), json!("cloudify_event"));
        }
    }
    item
}

/// Body of `POST /events`.
#[derive(Debug, Default, Deserialize)]
struct Sent {
    #[serde(default)]
    events: Option<Vec<Value>>,
    #[serde(default)]
    logs: Option<Vec<Value>>,
    #[serde(default)]
    execution_id: Option<String>,
    #[serde(default)]
    execution_group_id: Option<String>,
    #[serde(default)]
    manager_name: Option<String>,
    #[serde(default)]
    agent_name: Option<String>,
}

/// `POST /events`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write_said(ctx))
        .then(async |req: Result<Request<Sent>, Error>| {
            let recorded = match req {
                Ok(req) => recorded(req).await,
                Err(error) => Err(error),
            };
            match recorded {
                Ok(false) => reply::no_content(Ok(())),
                Ok(true) => reply::with(StatusCode::CREATED, Ok(Answer::null())),
                Err(error) => reply::error(&error),
            }
        })
        .boxed()
}

/// Records what was sent; false when that was nothing.
async fn recorded(req: Request<Sent>) -> Result<bool, Error> {
    req.caller.require_or_execution(Permission::EventCreate)?;
    let Request {
        ctx, caller, body, ..
    } = req;
    if body.execution_id.is_some() && body.execution_group_id.is_some() {
        return Err(Error::refused(
            ErrorCode::Conflict,
            "Pass either execution_id or execution_group_id, not both",
        ));
    }
    let own = caller.execution.as_ref();
    let execution = body
        .execution_id
        .clone()
        .or_else(|| own.map(|own| own.id.clone()))
        .ok_or_else(logs::nobody_named)?;
    let tenant = match own {
        Some(own) => own.tenant.clone(),
        None => caller.tenant()?.to_owned(),
    };
    let timed = caller.may(Permission::SetTimestamp);
    let mut said = Vec::new();
    for (items, is_log) in [(&body.events, false), (&body.logs, true)] {
        for item in items.iter().flatten() {
            let id = item.get("event_id").and_then(Value::as_str);
            let id = id.filter(|_| own.is_some());
            said.push(Said {
                id: id.map(|id| identity(&execution, id)),
                ..parse(item, is_log, timed, &body)?
            });
        }
    }
    if said.is_empty() {
        return Ok(false);
    }
    logs::record_all(&ctx, caller.meta(), (&tenant, &execution), said).await?;
    Ok(true)
}

/// Executions name their records, so that one that is sent again for want of an answer is the same.
fn identity(execution: &str, id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{execution}:{id}").as_bytes())
}

fn parse(item: &Value, is_log: bool, timed: bool, sent: &Sent) -> Result<Said, Error> {
    let required = |pointer: &str, name: &str| {
        item.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Error::bad_parameters(format!("Missing {name} in json request body")))
    };
    let optional = |pointer: &str| {
        item.pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let moment = |name: &str| {
        item.get(name)
            .and_then(Value::as_str)
            .and_then(crate::broker::wire::parse_timestamp)
            .map(|at| at.timestamp_micros())
    };
    if !item.get("context").is_some_and(Value::is_object) {
        return Err(Error::bad_parameters(
            "Missing context in json request body",
        ));
    }
    let only = |wanted: bool, name: &str| {
        if wanted {
            required(&format!("/{name}"), name)
        } else {
            Ok(String::new())
        }
    };
    Ok(Said {
        id: None,
        is_log,
        event_type: only(!is_log, "event_type")?,
        logger: only(is_log, "logger")?,
        level: only(is_log, "level")?,
        message: required("/message/text", "message")?,
        message_code: optional("/message_code"),
        operation: optional("/operation").or_else(|| optional("/context/operation")),
        node_instance_id: optional("/context/node_id"),
        source_id: optional("/context/source_id"),
        target_id: optional("/context/target_id"),
        error_causes: item.pointer("/context/task_error_causes").cloned(),
        timestamp_us: moment("timestamp"),
        reported_timestamp_us: moment("reported_timestamp").filter(|_| timed),
        manager_name: sent.manager_name.clone(),
        agent_name: sent.agent_name.clone(),
    })
}
