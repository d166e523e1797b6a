//! `/tasks_graphs`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{At, View, views::scoped};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        operations::NewOperation,
        tasks_graphs::{self, MODEL, NewTasksGraph},
        visibility,
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("tasks_graphs")
        .and(one_of(vec![all(ctx), create(ctx), patch(ctx)]))
        .boxed()
}

/// `GET /tasks_graphs?execution_id=…`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let all_tenants = req.all_tenants()?;
            req.caller.scope(all_tenants, Permission::Operations)?;
            req.query().required("execution_id")?;
            list::answer(&req, View::TasksGraphs, Permission::Operations).await
        })
        .map(reply::ok)
        .boxed()
}

/// An operation as clients write it.
#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    #[serde(default)]
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) operation_type: String,
    #[serde(default)]
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) dependencies: Vec<String>,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(default)]
    pub(super) created_at: Option<String>,
}

impl Operation {
    pub(super) fn into_new(self, id: Option<String>) -> Result<NewOperation, Error> {
        let id = id.unwrap_or(self.id);
        if id.is_empty() {
            return Err(Error::bad_parameters("Missing id of an operation"));
        }
        Ok(NewOperation {
            id,
            name: self.name,
            operation_type: self.operation_type,
            state: self.state,
            dependencies: self.dependencies,
            parameters: self.parameters,
            created_at_ms: moment(self.created_at.as_ref())?,
        })
    }
}

fn moment(text: Option<&String>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Some(time.timestamp_millis())),
        Err(_) => Err(Error::bad_parameters(format!(
            "created_at is no time: {text}"
        ))),
    }
}

#[derive(Debug, Deserialize)]
struct Create {
    name: String,
    execution_id: String,
    #[serde(default)]
    operations: Option<Vec<Operation>>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    graph_id: Option<String>,
}

/// `POST /tasks_graphs/{anything}`
fn create(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::Operations))
        .then(async |_, req: Result<Request<Create>, Error>| {
            let Request {
                ctx, caller, body, ..
            } = req?;
            let operations = body.operations.unwrap_or_default().into_iter();
            let operations: Result<Vec<NewOperation>, Error> = operations
                .map(|operation| operation.into_new(None))
                .collect();
            let new = NewTasksGraph {
                id: body.graph_id,
                name: body.name,
                execution_id: body.execution_id,
                operations: operations?,
                created_at_ms: moment(body.created_at.as_ref())?,
            };
            let (id, _) = tasks_graphs::create(&ctx, &caller, new).await?;
            let view = ctx.store.read(At::Now).await?;
            let row = view
                .row(View::TasksGraphs, &scoped(caller.tenant()?, &id))
                .await?;
            let row = row.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
            let answer = Answer::text(row.doc).at(view.position());
            drop(view.finish().await?);
            Ok(answer)
        })
        .map(reply::created)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Patch {
    #[serde(rename = "state")]
    _state: String,
}

/// `PATCH /tasks_graphs/{id}`: graphs have no state of their own; it follows from their operations.
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::Operations))
        .then(async |Segment(id), req: Result<Request<Patch>, Error>| {
            let req = req?;
            req.caller.require(Permission::Operations)?;
            let view = req.ctx.store.read(At::Now).await?;
            let row = visibility::own(&req.caller, &view, MODEL, &id).await?;
            let answer = Answer::text(row.doc).at(view.position());
            drop(view.finish().await?);
            Ok(answer)
        })
        .map(reply::ok)
        .boxed()
}
