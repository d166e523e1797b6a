//! `/deployment-modifications`
use std::sync::Arc;

use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::modifications::{self, End, MODEL, NewModification},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("deployment-modifications")
        .and(one_of(vec![
            all(ctx),
            start(ctx),
            get(ctx),
            end(ctx, End::Finish),
            end(ctx, End::RollBack),
        ]))
        .boxed()
}

/// `GET /deployment-modifications`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let permission = Permission::DeploymentModificationList;
            list::answer_where(&req?, MODEL.0, permission, Vec::new()).await
        })
        .map(reply::ok)
        .boxed()
}

async fn document(req: &Request, view: &View, id: &str) -> Result<Answer, Error> {
    let row = req.caller.get(view, MODEL, id).await?;
    let answer = req.document(view, ViewName::DeploymentModifications, &row.doc)?;
    Ok(answer.since(row.since))
}

/// The modification after a change.
async fn changed(req: &Request, id: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    document(req, &view, id).await
}

/// `POST /deployment-modifications`
fn start(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::DeploymentModify))
        .then(async |req: Result<Request<NewModification>, Error>| {
            let (req, new) = req?.split();
            let id = modifications::start(&req.ctx, &req.caller, &new).await?;
            changed(&req, &id).await
        })
        .map(reply::created)
        .boxed()
}

/// `GET /deployment-modifications/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeploymentModificationGet)?;
            let view = req.view().await?;
            document(&req, &view, &id).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /deployment-modifications/{id}/finish`, `POST /deployment-modifications/{id}/rollback`
fn end(ctx: &Arc<Context>, how: End) -> Route {
    warp::path::param::<Segment>()
        .and(warp::path(how.path()))
        .and(warp::path::end())
        .and(warp::post())
        .and(extract::read(ctx))
        .then(
            move |Segment(id): Segment, req: Result<Request, Error>| async move {
                let req = req?;
                modifications::end(&req.ctx, &req.caller, &id, how).await?;
                changed(&req, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}
