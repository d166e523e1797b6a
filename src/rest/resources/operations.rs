//! `/operations`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use stratalog_projections::{At, Condition, ListQuery, View, views::scoped};
use warp::Filter;

use super::{events::Sent, tasks_graphs::Operation};
use crate::{
    auth::Permission,
    commands::operations::{self, MODEL, UpdateOperation, UpdateStored},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, cursor, extract, list::Listing, one_of, reply},
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("operations")
        .and(one_of(vec![
            all(ctx),
            action(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /operations?graph_id=…` or `?execution_id=…`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| list(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn list(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::Operations)?;
    let query = req.query();
    let (column, value) = match (query.get("graph_id"), query.get("execution_id")) {
        (Some(graph), None) => ("tasks_graph_id", graph),
        (None, Some(execution)) => ("execution_id", execution),
        _ => {
            return Err(Error::bad_parameters(
                "Please provide execution_id or graph_id, and not both",
            ));
        }
    };
    let mut page = ListQuery::all(View::Operations, scope)
        .with(Condition::AnyOf(column.to_owned(), vec![value.to_owned()]));
    let states: Vec<String> = query.all("state").map(str::to_owned).collect();
    if !states.is_empty() {
        page = page.with(Condition::AnyOf("state".to_owned(), states));
    }
    if query.flag("skip_internal")? {
        let shown = ["SubgraphTask", "RemoteWorkflowTask"]
            .map(str::to_owned)
            .to_vec();
        page = page.with(Condition::AnyOf("type".to_owned(), shown));
    }
    let size = query
        .number("_size")?
        .unwrap_or(req.ctx.directory.load().page_size);
    let offset = query.number("_offset")?.unwrap_or(0);
    if !query.flag("_get_all_results")? {
        page.size = Some(size);
        page.offset = offset;
    }
    page.after = cursor::place(query, View::Operations, &page.sort)?;
    let listing = Listing {
        query: page,
        include: req.include(View::Operations)?,
        size,
        offset,
        has_cursor: cursor::is_asked(query),
    };
    listing.read(req).await
}

#[derive(Debug, Deserialize)]
struct Act {
    action: String,
    #[serde(default)]
    deployment_id: Option<String>,
    #[serde(default)]
    node_id: Option<String>,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    rel_index: Option<usize>,
}

/// `POST /operations`
fn action(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::Operations))
        .then(async |req: Result<Request<Act>, Error>| {
            let Request {
                ctx, caller, body, ..
            } = req?;
            caller.require(Permission::Operations)?;
            if body.action != "update-stored" {
                return Ok(());
            }
            let needed = |name: &str, field: Option<String>| {
                field.ok_or_else(|| Error::bad_parameters(format!("Missing {name}")))
            };
            let what = UpdateStored {
                deployment_id: needed("deployment_id", body.deployment_id)?,
                node_id: needed("node_id", body.node_id)?,
                operation: needed("operation", body.operation)?,
                key: body.key,
                rel_index: body.rel_index,
            };
            operations::update_stored(&ctx, &caller, &what).await?;
            Ok(())
        })
        .map(reply::no_content)
        .boxed()
}

/// `GET /operations/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::Operations)?;
            req.resource(req.view().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Put {
    graph_id: String,
    #[serde(flatten)]
    operation: Operation,
}

/// `PUT /operations/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::Operations))
        .then(
            async |Segment(id): Segment, req: Result<Request<Put>, Error>| {
                let Request {
                    ctx, caller, body, ..
                } = req?;
                let new = body.operation.into_new(Some(id.clone()))?;
                operations::add(&ctx, &caller, &body.graph_id, new).await?;
                let view = ctx.store.read(At::Now).await?;
                let row = view
                    .row(View::Operations, &scoped(caller.tenant()?, &id))
                    .await?;
                let row = row.ok_or_else(|| Error::not_found(MODEL.1, &id))?;
                let answer = Answer::text(row.doc).at(view.position());
                drop(view.finish().await?);
                Ok(answer)
            },
        )
        .map(reply::created)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Patch {
    state: String,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    exception: Value,
    #[serde(default)]
    exception_causes: Value,
    #[serde(default)]
    manager_name: Option<String>,
    #[serde(default)]
    agent_name: Option<String>,
    /// Not known to the reference: for which message an operation is started.
    #[serde(default)]
    claim: Option<Value>,
    /// Neither: what has been said of the execution until then, as `POST /events` takes it. Only
    /// executions say it of themselves.
    #[serde(default)]
    said: Option<Sent>,
}

/// `PATCH /operations/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write_said(
            ctx,
            extract::Gate::OrExecution(Permission::Operations),
        ))
        .then(
            async |Segment(id): Segment, req: Result<Request<Patch>, Error>| {
                let Request {
                    ctx, caller, body, ..
                } = req?;
                let report = UpdateOperation {
                    state: body.state,
                    result: body.result,
                    exception: match body.exception {
                        Value::Null => None,
                        Value::String(text) => Some(text),
                        other => Some(other.to_string()),
                    },
                    exception_causes: body.exception_causes,
                    manager_name: body.manager_name,
                    agent_name: body.agent_name,
                };
                let said = match (&body.said, &caller.execution, &body.claim) {
                    (None, ..) => Vec::new(),
                    (Some(said), Some(own), None) => said.said(&caller, &own.id)?,
                    (Some(_), ..) => {
                        return Err(Error::bad_parameters(
                            "said: only by an execution, and not with a claim",
                        ));
                    }
                };
                let Some(claim) = body.claim else {
                    let told = (&report, said.as_slice());
                    let position = operations::update(&ctx, &caller, &id, told).await?;
                    return Ok(Answer::json(&json!({}))?.at(position));
                };
                let claim = operations::parse_claim(&claim)?;
                let claimed = operations::claim(&ctx, &caller, &id, (&claim, &report)).await?;
                let (resumes, position) = claimed;
                Ok(Answer::json(&json!({"resumes": resumes}))?.at(position))
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /operations/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id): Segment, req: Result<Request, Error>| {
            let Request { ctx, caller, .. } = req?;
            operations::delete(&ctx, &caller, &id).await?;
            Ok(())
        })
        .map(reply::no_content)
        .boxed()
}
