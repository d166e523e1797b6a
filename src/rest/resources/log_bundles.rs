//! `/log-bundles`: what helps whoever looks into trouble, in one file.
use std::sync::Arc;

use serde::Deserialize;
use stratalog_projections::{At, View, views::log_bundles::LogBundle};
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::{
        executions,
        log_bundles::{self, MODEL},
    },
    context::Context,
    error::Error,
    rest::{
        Answer, BodyStream, Request, Route, Segment, body, extract, list, one_of, reply, uploads,
    },
};

/// `/log-bundles`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("log-bundles")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
            archive(ctx),
            put_archive(ctx),
        ]))
        .boxed()
}

/// `GET /log-bundles`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, View::LogBundles, Permission::LogBundleList).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /log-bundles/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::LogBundleGet)?;
            req.resource(req.view().await?, MODEL, &id).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Create {
    #[serde(deserialize_with = "body::flag")]
    queue: bool,
}

/// `PUT /log-bundles/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write_optional(ctx, Permission::LogBundleCreate))
        .then(async |Segment(id), req: Result<Request<Create>, Error>| {
            let (req, body) = req?.split();
            let asked = log_bundles::create(&req.ctx, &req.caller, &id, body.queue).await?;
            let (execution, position) = asked;
            let view = req.ctx.store.read(At::Position(position)).await?;
            req.resource(view, executions::MODEL, &execution).await
        })
        .map(reply::created)
        .boxed()
}

/// `PATCH /log-bundles/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::LogBundleStatusUpdate))
        .then(
            async |Segment(id), req: Result<Request<body::SetStatus>, Error>| {
                let (req, body) = req?.split();
                let status = (body.status.as_str(), body.error.as_deref());
                let position = log_bundles::set_status(&req.ctx, &req.caller, &id, status).await?;
                Ok(Answer::null().at(position))
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /log-bundles/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            let (document, position) = log_bundles::delete(&req.ctx, &req.caller, &id).await?;
            Ok(Answer::text(document).at(position))
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /log-bundles/{id}/archive`
fn archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| download(req?, &id).await)
        .map(reply::any)
        .boxed()
}

async fn download(req: Request, id: &str) -> Result<Response, Error> {
    req.caller.require(Permission::LogBundleDownload)?;
    let view = req.ctx.store.read(At::Now).await?;
    let bundle: LogBundle = req.caller.get(&view, MODEL, id).await?.resource()?;
    drop(view.finish().await?);
    let entry = log_bundles::archive(&req.ctx, &bundle).await?;
    req.download(&entry, &format!("{id}.zip")).await
}

/// `PUT /log-bundles/{id}/archive`
fn put_archive(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "archive")
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(async |Segment(id), req: Result<Request<BodyStream>, Error>| upload(req?, &id).await)
        .map(reply::created)
        .boxed()
}

async fn upload(req: Request<BodyStream>, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::LogBundleCreate)?;
    let (req, staged) = uploads::whole(req).await?;
    let staged = staged.ok_or_else(|| Error::bad_parameters("Missing log bundle archive"))?;
    let position = log_bundles::upload(&req.ctx, &req.caller, id, staged).await?;
    Ok(Answer::null().at(position))
}
