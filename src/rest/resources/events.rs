//! `/events`: execution logs and events, read from the telemetry lane and written by workers.
mod like;
mod question;

use std::{fmt::Write as _, sync::Arc};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use stratalog_projections::At;
use stratalog_schema::time::wire_us;
use uuid::Uuid;
use warp::Filter;

use self::question::{question, without_deleted, without_private};
use crate::{
    auth::{Caller, Permission},
    commands::{
        event_deletions, executions,
        logs::{self, Said},
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    log::telemetry::{Found, Page, Question},
    rest::{
        Answer, Include, Query, Request, Route, cursor, extract, one_of,
        remembered::remembered_telemetry, reply,
    },
    store::View,
};

/// What cursors call the list.
const LIST: &str = "events";
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
        .and(one_of(vec![list(ctx), post(ctx), delete(ctx)]))
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
    let order: Vec<String> = req.query().all("_sort").map(str::to_owned).collect();
    if let Some(place) = cursor::values(req.query(), LIST, &order)?
        && !question.begin_behind(place)
    {
        return Err(cursor::refused());
    }
    let epoch = req.ctx.changes.epoch();
    question.unpacked = Some(req.ctx.remembered.unpacked().of_epoch(epoch));
    let view = req.view().await?;
    question.upto = view.position();
    without_private(&view, &req.caller, &mut question).await?;
    without_deleted(&view, &mut question).await?;
    let page = ask(req, &view, &mut question).await?;
    let position = view.position();
    drop(view.finish().await?);
    let mut text = String::from(r#"{"items":["#);
    for (i, found) in page.records.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        let item = serde_json::to_string(&item(found)).map_err(Error::internal)?;
        match &include {
            Some(include) => text.push_str(&include.project(&item)?),
            None => text.push_str(&item),
        }
    }
    let (total, size, offset) = (page.total, question.size, question.offset);
    let mut pagination = json!({"total": total, "size": size, "offset": offset});
    if cursor::is_asked(req.query()) {
        let last = page.records.last().filter(|_| page.records.len() == size);
        let next = last.map(|last| cursor::token_of(LIST.to_owned(), order, question.place(last)));
        pagination["next"] = next.transpose()?.into();
    }
    let metadata = json!({"pagination": pagination});
    write!(text, r#"],"metadata":{metadata}}}"#).map_err(Error::internal)?;
    Ok(Answer::text(text).at(position))
}

/// Asks with what is known of counts already: only what was told since then is counted.
async fn ask(req: &Request, view: &View, question: &mut Question) -> Result<Page, Error> {
    let key = format!("{} {}", req.ctx.changes.epoch(), question.counted_by());
    question.known = req.ctx.remembered.counts(&key);
    let page = question.ask(view).await?;
    if let Some(counts) = page.counts
        && question.known.is_none_or(|known| known.upto < counts.upto)
    {
        req.ctx.remembered.keep_counts(key, counts);
    }
    Ok(page)
}

fn or_null(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// An item as the wire shows it.
#[derive(Debug, Serialize)]
struct Item<'r> {
    _storage_id: i64,
    timestamp: String,
    reported_timestamp: String,
    blueprint_id: Option<&'r str>,
    deployment_id: Option<&'r str>,
    deployment_display_name: Option<&'r str>,
    execution_id: Option<&'r str>,
    execution_group_id: Option<&'r str>,
    workflow_id: Option<&'r str>,
    message: &'r str,
    error_causes: Option<&'r RawValue>,
    operation: Option<&'r str>,
    source_id: Option<&'r str>,
    target_id: Option<&'r str>,
    manager_name: Option<&'r str>,
    agent_name: Option<&'r str>,
    node_instance_id: Option<&'r str>,
    node_name: Option<&'r str>,
    #[serde(flatten)]
    kind: Kind<'r>,
}

/// What only logs have, or only events.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Kind<'r> {
    Log {
        logger: &'r str,
        level: &'r str,
        r#type: &'static str,
    },
    Event {
        event_type: &'r str,
        r#type: &'static str,
    },
}

fn item((position, record): &Found) -> Item<'_> {
    let causes = record.error_causes_json.as_deref();
    Item {
        _storage_id: *position,
        timestamp: wire_us(record.timestamp_us),
        reported_timestamp: wire_us(record.reported_timestamp_us),
        blueprint_id: or_null(&record.blueprint_id),
        deployment_id: or_null(&record.deployment_id),
        deployment_display_name: or_null(&record.deployment_display_name),
        execution_id: or_null(&record.execution_id),
        execution_group_id: or_null(&record.execution_group_id),
        workflow_id: or_null(&record.workflow_id),
        message: &record.message,
        error_causes: causes.and_then(|text| serde_json::from_str(text).ok()),
        operation: record.operation.as_deref(),
        source_id: record.source_id.as_deref(),
        target_id: record.target_id.as_deref(),
        manager_name: record.manager_name.as_deref(),
        agent_name: record.agent_name.as_deref(),
        node_instance_id: record.node_instance_id.as_deref(),
        node_name: record.node_name.as_deref(),
        kind: match record.is_log {
            true => Kind::Log {
                logger: &record.logger,
                level: &record.level,
                r#type: "cloudify_log",
            },
            false => Kind::Event {
                event_type: &record.event_type,
                r#type: "cloudify_event",
            },
        },
    }
}

/// Body of `POST /events`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Sent {
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

impl Sent {
    /// What it says of an execution.
    ///
    /// # Errors
    /// 400 for records that lack something.
    pub(super) fn said(&self, caller: &Caller, execution: &str) -> Result<Vec<Said>, Error> {
        let timed = caller.may(Permission::SetTimestamp);
        let mut said = Vec::new();
        for (items, is_log) in [(&self.events, false), (&self.logs, true)] {
            for item in items.iter().flatten() {
                let id = item.get("event_id").and_then(Value::as_str);
                let id = id.filter(|_| caller.execution.is_some());
                said.push(Said {
                    id: id.map(|id| identity(execution, id)),
                    ..parse(item, is_log, timed, self)?
                });
            }
        }
        Ok(said)
    }
}

/// `POST /events`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write_said(
            ctx,
            extract::Gate::OrExecution(Permission::EventCreate),
        ))
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
    // whose execution it is, it may always tell of
    if own.is_none_or(|own| own.id != execution) {
        let view = ctx.store.read(At::Now).await?;
        visibility::own(&caller, &view, executions::MODEL, &execution).await?;
        drop(view.finish().await?);
    }
    let said = body.said(&caller, &execution)?;
    if said.is_empty() {
        return Ok(false);
    }
    logs::record_all(&ctx, caller.meta(), (&tenant, &execution), &said).await?;
    Ok(true)
}

/// `DELETE /events`: what is meant is not shown any more, as of now.
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| deleted(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn deleted(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::EventDelete)?;
    let query = req.query();
    let deployment = query.required("deployment_id")?;
    if !query.all("type").any(|kind| kind == "cloudify_event") {
        return Err(Error::bad_parameters(
            "Events are deleted with `type=cloudify_event`, and logs only together with them",
        ));
    }
    // the log keeps what is deleted, so nothing needs to be stored before
    let is_term = |key: &str| key == "_range" || !(key.starts_with('_') || key == "store_before");
    let terms = query.iter().filter(|(key, _)| is_term(key));
    let terms: Vec<_> = terms.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let mut question = question(&Query::of(&terms), req.caller.tenant()?)?;
    question.size = 0;
    let own = req.caller.tenant()?.to_owned();
    question
        .tests
        .push(Box::new(move |record| record.tenant == own));
    let position = event_deletions::delete(&req.ctx, &req.caller, deployment, &terms).await?;
    // what it took from view is what was shown before it
    let view = req.ctx.store.read(At::Position(position - 1)).await?;
    question.upto = view.position();
    without_deleted(&view, &mut question).await?;
    let total = question.ask(&view).await?.total;
    drop(view.finish().await?);
    let body = json!({"items": [total], "metadata": {"pagination": {"total": total}}});
    Ok(Answer::json(&body)?.at(position))
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
