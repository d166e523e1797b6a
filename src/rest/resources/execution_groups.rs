//! `/execution-groups`
use std::sync::Arc;

use serde::Deserialize;
use stratalog_projections::{StoredRow, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        execution_groups::{self, ChangeGroup, MODEL, NewGroup},
        executions::Action,
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, one_of, reply, wire},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("execution-groups")
        .and(one_of(vec![
            all(ctx),
            start(ctx),
            get(ctx),
            act(ctx),
            patch(ctx),
        ]))
        .boxed()
}

/// `GET /execution-groups`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| page(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let permission = Permission::ExecutionGroupList;
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    let listing = Listing::parse(req, MODEL.0, scope)?;
    let include = listing.include.as_ref();
    let is_named = include.is_some_and(|i| i.names("execution_ids") || i.names("status"));
    let is_expanded = is_named || req.query().flag("_get_data")?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let documents = wire::groups::of_executions(&view, &listed.rows, is_expanded).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    Ok(listing.envelope(documents, &listed)?.at(position))
}

async fn document(req: &Request, view: &View, row: StoredRow) -> Result<Answer, Error> {
    let since = row.since;
    let documents = wire::groups::of_executions(view, &[row], true).await?;
    let document = documents.into_iter().next().unwrap_or_default();
    let answer = req.document(view, ViewName::ExecutionGroups, &document)?;
    Ok(answer.since(since))
}

/// The group after a change.
async fn changed(req: &Request, id: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    document(req, &view, row).await
}

/// `GET /execution-groups/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionGroupGet)?;
            let view = req.view().await?;
            let row = req.caller.get(&view, MODEL, &id).await?;
            document(&req, &view, row).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /execution-groups`
fn start(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::ExecutionGroupCreate))
        .then(async |req: Result<Request<NewGroup>, Error>| {
            let (req, new) = req?.split();
            let id = execution_groups::start(&req.ctx, &req.caller, &new).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Act {
    action: String,
}

/// `POST /execution-groups/{id}`
fn act(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::ExecutionGroupCancel))
        .then(async |Segment(id), req: Result<Request<Act>, Error>| {
            let (req, body) = req?.split();
            let action = Action::parse(&body.action)?;
            execution_groups::act(&req.ctx, &req.caller, &id, action).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /execution-groups/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::ExecutionGroupUpdate))
        .then(
            async |Segment(id), req: Result<Request<ChangeGroup>, Error>| {
                let (req, change) = req?.split();
                execution_groups::change(&req.ctx, &req.caller, &id, &change).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}
