//! `/plugins-updates`
use std::sync::Arc;

use warp::Filter;

use crate::{
    auth::Permission,
    commands::plugins_updates::{self, Initiate, MODEL},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("plugins-updates")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            initiate(ctx),
            finalize(ctx),
        ]))
        .boxed()
}

/// `GET /plugins-updates`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer_where(&req?, MODEL.0, Permission::PluginsUpdateList, Vec::new()).await
        })
        .map(reply::ok)
        .boxed()
}

async fn document(req: &Request, view: &View, id: &str) -> Result<Answer, Error> {
    let row = req.caller.get(view, MODEL, id).await?;
    let answer = req.document(view, MODEL.0, &row.doc)?;
    Ok(answer.since(row.since))
}

/// `GET /plugins-updates/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id): Segment, req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::PluginsUpdateGet)?;
            let view = req.view().await?;
            document(&req, &view, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /plugins-updates/{blueprint_id}/update/initiate`
fn initiate(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "update" / "initiate")
        .and(warp::post())
        .and(extract::write_optional(
            ctx,
            Permission::PluginsUpdateCreate,
        ))
        .then(
            async |Segment(blueprint): Segment, req: Result<Request<Initiate>, Error>| {
                let (req, new) = req?.split();
                let started =
                    plugins_updates::initiate(&req.ctx, &req.caller, (&blueprint, &new)).await?;
                document(&req, &req.now().await?, &started).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `POST /plugins-updates/{id}/update/finalize`: the end of its execution has done it already.
fn finalize(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "update" / "finalize")
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |Segment(id): Segment, req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::PluginsUpdateCreate)?;
            document(&req, &req.now().await?, &id).await
        })
        .map(reply::ok)
        .boxed()
}
