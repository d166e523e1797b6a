//! `/executions`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{Condition, View, views::scoped};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        executions::{self, Action, Delete, MODEL, Restored, StartExecution},
    },
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, Segment, extract,
        list::{self, Listing},
        one_of, reply,
    },
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("executions")
        .and(one_of(vec![
            all(ctx),
            start(ctx),
            delete(ctx),
            get(ctx),
            act(ctx),
            patch(ctx),
            should_start(ctx),
            timeline(ctx),
        ]))
        .boxed()
}

/// `GET /executions`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let with_system = req.query().flag("_include_system_workflows")?
                || req.query().get("is_system_workflow").is_some();
            let mut conditions = Vec::new();
            if !with_system {
                let no = vec!["false".to_owned()];
                conditions.push(Condition::AnyOf("is_system_workflow".to_owned(), no));
            }
            if let Some(group) = req.query().get("_group_id") {
                let group = vec![group.to_owned()];
                conditions.push(Condition::AnyOf("execution_group_id".to_owned(), group));
            }
            list::answer_where(
                &req,
                View::Executions,
                Permission::ExecutionList,
                conditions,
            )
            .await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /executions/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionGet)?;
            req.resource(req.view().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// Flags come as booleans or as texts; null is absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Start {
    deployment_id: Option<String>,
    workflow_id: Option<String>,
    parameters: Value,
    allow_custom_parameters: Value,
    force: Value,
    dry_run: Value,
    queue: Value,
    wait_after_fail: Value,
    scheduled_time: Option<String>,
    force_status: Option<String>,
    created_by: Option<String>,
    created_at: Option<String>,
    started_at: Option<String>,
    ended_at: Option<String>,
    id: Option<String>,
    is_system_workflow: Option<bool>,
    error: Option<String>,
}

fn flag(name: &str, value: &Value) -> Result<bool, Error> {
    let text = match value {
        Value::Null => return Ok(false),
        Value::Bool(flag) => return Ok(*flag),
        Value::String(text) => text.to_ascii_lowercase(),
        other => other.to_string(),
    };
    match text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::bad_parameters(format!(
            "{name} must be <true/false>, got {text}"
        ))),
    }
}

fn seconds(value: &Value) -> Result<Option<i64>, Error> {
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number >= 0 => Ok(Some(number)),
        _ => Err(Error::bad_parameters(format!(
            "wait_after_fail must be seconds, got {value}"
        ))),
    }
}

fn moment(name: &str, text: Option<&String>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Some(time.timestamp_millis())),
        Err(_) => Err(Error::bad_parameters(format!(
            "{name} is no time with a zone: {text}"
        ))),
    }
}

impl Start {
    fn into_command(self) -> Result<StartExecution, Error> {
        let missing =
            |name: &str| Error::bad_parameters(format!("Missing {name} in json request body"));
        let parameters = match self.parameters {
            Value::Null => Map::new(),
            Value::Object(map) => map,
            other => {
                return Err(Error::refused(
                    crate::error::ErrorCode::IllegalExecutionParameters,
                    format!("parameters: expected a dict, but got: {other}"),
                ));
            }
        };
        Ok(StartExecution {
            deployment_id: self.deployment_id.ok_or_else(|| missing("deployment_id"))?,
            workflow_id: self
                .workflow_id
                .filter(|id| !id.is_empty())
                .ok_or_else(|| missing("workflow_id"))?,
            parameters,
            allow_custom_parameters: flag(
                "allow_custom_parameters",
                &self.allow_custom_parameters,
            )?,
            force: flag("force", &self.force)?,
            dry_run: flag("dry_run", &self.dry_run)?,
            queue: flag("queue", &self.queue)?,
            wait_after_fail_s: seconds(&self.wait_after_fail)?,
            restored: Restored {
                created_at_ms: moment("created_at", self.created_at.as_ref())?,
                started_at_ms: moment("started_at", self.started_at.as_ref())?,
                ended_at_ms: moment("ended_at", self.ended_at.as_ref())?,
                id: self.id,
                force_status: self.force_status,
                created_by: self.created_by,
                error: self.error,
                is_system_workflow: self.is_system_workflow,
            },
        })
    }
}

/// What clients are told of an execution that is yet to be created.
const SCHEDULED: &str = concat!(
    r#"{"created_at":null,"id":null,"visibility":null,"ended_at":null,"error":null,"#,
    r#""is_system_workflow":null,"parameters_p":null,"parameters":null,"status":"scheduled","#,
    r#""workflow_id":null,"started_at":null,"scheduled_for":null,"is_dry_run":null,"#,
    r#""resume":null,"total_operations":0,"finished_operations":0,"#,
    r#""allow_custom_parameters":false,"blueprint_id":null,"deployment_display_name":null,"#,
    r#""deployment_id":null,"status_display":"scheduled","tenant_name":null,"#,
    r#""created_by":null,"resource_availability":null,"private_resource":false}"#
);

/// `POST /executions`
fn start(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::ExecutionStart))
        .then(async |req: Result<Request<Start>, Error>| {
            let Request {
                ctx, caller, body, ..
            } = req?;
            let time = body.scheduled_time.clone();
            let command = body.into_command()?;
            if let Some(time) = time {
                commands::schedules::schedule_execution(&ctx, &caller, &command, &time).await?;
                return Ok(Answer::text(SCHEDULED));
            }
            let (id, _) = executions::start(&ctx, &caller, command).await?;
            let view = ctx.store.read(stratalog_projections::At::Now).await?;
            let key = scoped(caller.tenant()?, &id);
            let row = view.row(View::Executions, &key).await?;
            let row = row.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
            let answer = Answer::text(row.doc).at(view.position());
            drop(view.finish().await?);
            Ok(answer)
        })
        .map(reply::created)
        .boxed()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Remove {
    keep_last: Option<i64>,
    to_datetime: Option<String>,
}

impl Remove {
    fn limits(&self) -> Result<(Option<usize>, Option<i64>), Error> {
        if self.keep_last.is_some() && self.to_datetime.is_some() {
            return Err(Error::bad_parameters(
                "Must provide either a `to_datetime` timestamp or a `keep_last` number of \
                 executions to keep, not both",
            ));
        }
        let keep_last = match self.keep_last {
            None => None,
            Some(number) => match usize::try_from(number) {
                Ok(number) if number > 0 => Some(number),
                _ => {
                    return Err(Error::bad_parameters(
                        "`keep_last` must be an integer greater than 0",
                    ));
                }
            },
        };
        Ok((keep_last, moment("to_datetime", self.to_datetime.as_ref())?))
    }
}

/// `DELETE /executions`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::delete())
        .and(extract::write_optional(
            ctx,
            extract::Gate::List(Permission::ExecutionDelete),
        ))
        .then(async |req: Result<Request<Remove>, Error>| {
            let req = req?;
            let scope = req
                .caller
                .scope(req.all_tenants()?, Permission::ExecutionDelete)?;
            let listing = Listing::parse(&req, View::Executions, scope.clone())?;
            let (keep_last, before_ms) = req.body.limits()?;
            let what = Delete {
                scope,
                conditions: listing.query.conditions,
                keep_last,
                before_ms,
            };
            let (count, position) = executions::delete(&req.ctx, &req.caller, &what).await?;
            let body = json!({
                "items": [{"count": count}],
                "metadata": {"pagination": {"total": 1, "size": 1, "offset": 0}},
            });
            Ok(Answer::json(&body)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Act {
    action: String,
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /executions/{id}`
fn act(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::ExecutionCancel))
        .then(async |Segment(id), req: Result<Request<Act>, Error>| {
            let Request {
                ctx, caller, body, ..
            } = req?;
            let action = Action::parse(&body.action)?;
            let action = (action, body.reason.as_deref());
            let (execution, position) = executions::act(&ctx, &caller, &id, action).await?;
            Ok(Answer::json(&execution)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Patch {
    status: String,
    #[serde(default)]
    error: Option<String>,
}

/// `PATCH /executions/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::ExecutionStatusUpdate))
        .then(async |Segment(id), req: Result<Request<Patch>, Error>| {
            let Request {
                ctx, caller, body, ..
            } = req?;
            let status = (body.status.as_str(), body.error.as_deref());
            let (execution, position) = executions::set_status(&ctx, &caller, &id, status).await?;
            Ok(Answer::json(&execution)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /executions/{id}/should-start`
fn should_start(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "should-start")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionShouldStart)?;
            let view = req.view().await?;
            let row = req.caller.get(&view, MODEL, &id).await?;
            let execution: stratalog_projections::views::executions::Execution = row.resource()?;
            let position = view.position();
            drop(view.finish().await?);
            let waits = matches!(
                execution.status.as_str(),
                "scheduled" | "queued" | "pending"
            );
            Ok(Answer::json(&waits)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /executions/{id}/timeline`
fn timeline(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "timeline")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionGet)?;
            let page = (req.query().number("_after")?, req.query().number("_size")?);
            let view = req.view().await?;
            let execution = req.caller.get(&view, MODEL, &id).await?.resource()?;
            let timeline = executions::timeline(&view, &execution, page).await?;
            let position = view.position();
            drop(view.finish().await?);
            let body = json!({"items": timeline.steps, "metadata": {"next": timeline.next}});
            Ok(Answer::json(&body)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}
