//! `/workflows`
use std::sync::Arc;

use serde_json::json;
use stratalog_projections::View as ViewName;
use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, extract,
        list::{self, Listing},
        reply, wire,
    },
};

/// `GET /workflows`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path!("workflows")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| answer(&req?).await)
        .map(reply::ok)
        .boxed()
}

/// Workflows of the deployments the query admits, by name.
async fn answer(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::DeploymentList)?;
    let mut listing = Listing::parse(req, ViewName::Deployments, scope)?;
    let page = listing.whole()?;
    let view = req.view().await?;
    listing.narrow(req, &view, None).await?;
    let found = wire::workflows::of_all(&view, &listing.query, false).await?;
    let position = view.position();
    drop(view.finish().await?);
    let (items, total) = list::slice(found, page);
    let body = json!({
        "items": items,
        "metadata": {
            "pagination": { "total": total, "size": listing.size, "offset": listing.offset },
        },
    });
    Ok(Answer::json(&body)?.at(position))
}
