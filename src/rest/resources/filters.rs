//! `/filters/blueprints` and `/filters/deployments`
use std::sync::Arc;

use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        filters::{Kind, NewFilter, UpdateFilter},
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
    store::View,
};

/// `/filters`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    let of = |kind: Kind| {
        warp::path(kind.name()).and(one_of(vec![
            all(ctx, kind),
            get(ctx, kind),
            put(ctx, kind),
            patch(ctx, kind),
            delete(ctx, kind),
        ]))
    };
    warp::path("filters")
        .and(one_of(vec![
            of(Kind::Blueprints).boxed(),
            of(Kind::Deployments).boxed(),
        ]))
        .boxed()
}

/// `GET /filters/blueprints`, `GET /filters/deployments`
fn all(ctx: &Arc<Context>, kind: Kind) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(move |req: Result<Request, Error>| async move {
            let kind = vec![kind.condition()];
            list::answer_where(&req?, ViewName::Filters, Permission::FilterList, kind).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /filters/blueprints/{id}`, `GET /filters/deployments/{id}`
fn get(ctx: &Arc<Context>, kind: Kind) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(
            move |Segment(id): Segment, req: Result<Request, Error>| async move {
                let req = req?;
                req.caller.require(Permission::FilterGet)?;
                one(&req, &req.view().await?, (kind, &id)).await
            },
        )
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, view: &View, (kind, id): (Kind, &str)) -> Result<Answer, Error> {
    let row = commands::filters::get(view, &req.caller, kind, id).await?;
    let answer = req.document(view, ViewName::Filters, &row.doc)?;
    Ok(answer.since(row.since))
}

/// The filter after a change.
async fn changed(req: &Request, kind: Kind, id: &str) -> Result<Answer, Error> {
    one(req, &req.now().await?, (kind, id)).await
}

/// `PUT /filters/blueprints/{id}`, `PUT /filters/deployments/{id}`
fn put(ctx: &Arc<Context>, kind: Kind) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::FilterCreate))
        .then(
            move |Segment(id): Segment, req: Result<Request<NewFilter>, Error>| async move {
                let (req, new) = req?.split();
                commands::filters::create(&req.ctx, &req.caller, (kind, &id), &new).await?;
                changed(&req, kind, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `PATCH /filters/blueprints/{id}`, `PATCH /filters/deployments/{id}`
fn patch(ctx: &Arc<Context>, kind: Kind) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::FilterUpdate))
        .then(
            move |Segment(id): Segment, req: Result<Request<UpdateFilter>, Error>| async move {
                let (req, change) = req?.split();
                commands::filters::update(&req.ctx, &req.caller, (kind, &id), &change).await?;
                changed(&req, kind, &id).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /filters/blueprints/{id}`, `DELETE /filters/deployments/{id}`
fn delete(ctx: &Arc<Context>, kind: Kind) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            move |Segment(id): Segment, req: Result<Request, Error>| async move {
                let req = req?;
                commands::filters::delete(&req.ctx, &req.caller, kind, &id).await
            },
        )
        .map(reply::no_content)
        .boxed()
}
