//! `/execution-schedules`
use std::sync::Arc;

use stratalog_projections::{StoredRow, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::schedules::{self, ChangeSchedule, NewSchedule},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, one_of, reply, wire},
    store::View,
};

/// All routes of the resource.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("execution-schedules")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /execution-schedules`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| page(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let permission = Permission::ExecutionScheduleList;
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    let listing = Listing::parse(req, ViewName::Schedules, scope)?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let documents = wire::schedules::join(&view, &listed.rows).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    Ok(listing.envelope(documents, &listed)?.at(position))
}

async fn document<B>(req: &Request<B>, view: &View, row: StoredRow) -> Result<Answer, Error> {
    let since = row.since;
    let documents = wire::schedules::join(view, &[row]).await?;
    let document = documents.into_iter().next().unwrap_or_default();
    let answer = req.document(view, ViewName::Schedules, &document)?;
    Ok(answer.since(since))
}

/// The schedule after a change.
async fn changed(req: &Request, of: (&str, &str)) -> Result<Answer, Error> {
    let view = req.now().await?;
    let row = schedules::get(&view, &req.caller, of).await?;
    document(req, &view, row).await
}

/// `GET /execution-schedules/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionScheduleGet)?;
            let deployment = req.query().required("deployment_id")?;
            let view = req.view().await?;
            let row = schedules::get(&view, &req.caller, (deployment, &id)).await?;
            document(&req, &view, row).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /execution-schedules/{id}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::ExecutionScheduleCreate))
        .then(
            async |Segment(id), req: Result<Request<NewSchedule>, Error>| {
                let (req, new) = req?.split();
                let of = (req.query().required("deployment_id")?, id.as_str());
                schedules::create(&req.ctx, &req.caller, of, &new).await?;
                changed(&req, of).await
            },
        )
        .map(reply::created)
        .boxed()
}

/// `PATCH /execution-schedules/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::ExecutionScheduleCreate))
        .then(
            async |Segment(id), req: Result<Request<ChangeSchedule>, Error>| {
                let (req, change) = req?.split();
                let of = (req.query().required("deployment_id")?, id.as_str());
                schedules::update(&req.ctx, &req.caller, of, &change).await?;
                changed(&req, of).await
            },
        )
        .map(reply::created)
        .boxed()
}

/// `DELETE /execution-schedules/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ExecutionScheduleCreate)?;
            let of = (req.query().required("deployment_id")?, id.as_str());
            schedules::delete(&req.ctx, &req.caller, of).await
        })
        .map(reply::no_content)
        .boxed()
}
