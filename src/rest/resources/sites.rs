//! `/sites`
use std::sync::Arc;

use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        sites::{MODEL, NewSite, UpdateSite},
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
    store::View,
};

/// `/sites`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("sites")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            put(ctx),
            post(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /sites`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, ViewName::Sites, Permission::SiteList).await
        })
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, view: &View, name: &str) -> Result<Answer, Error> {
    let row = req.caller.get(view, MODEL, name).await?;
    let answer = req.document(view, ViewName::Sites, &row.doc)?;
    Ok(answer.since(row.since))
}

/// `GET /sites/{name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::SiteGet)?;
            one(&req, &req.view().await?, &name).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /sites/{name}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write_optional(ctx, Permission::SiteCreate))
        .then(
            async |Segment(name), req: Result<Request<NewSite>, Error>| {
                let (req, new) = req?.split();
                commands::sites::create(&req.ctx, &req.caller, &name, &new).await?;
                one(&req, &req.now().await?, &name).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `POST /sites/{name}`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::SiteUpdate))
        .then(
            async |Segment(name), req: Result<Request<UpdateSite>, Error>| {
                let (req, change) = req?.split();
                let name = commands::sites::update(&req.ctx, &req.caller, &name, &change).await?;
                one(&req, &req.now().await?, &name).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /sites/{name}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(name): Segment, req: Result<Request, Error>| {
                let req = req?;
                commands::sites::delete(&req.ctx, &req.caller, &name).await
            },
        )
        .map(reply::no_content)
        .boxed()
}
