//! `/searches`: lists with filter rules in the body.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{Condition, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, list::Listing, one_of, reply, wire},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Search {
    filter_rules: Option<Vec<Value>>,
}

/// `/searches`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("searches")
        .and(one_of(vec![blueprints(ctx), deployments(ctx)]))
        .boxed()
}

/// `POST /searches/blueprints`
fn blueprints(ctx: &Arc<Context>) -> Route {
    warp::path!("blueprints")
        .and(warp::post())
        .and(extract::write(ctx))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let mut listing = listing(&req, ViewName::Blueprints, Permission::BlueprintList)?;
            let shown = Condition::AnyOf("is_hidden".to_owned(), vec!["false".to_owned()]);
            listing.query.conditions.push(shown);
            answer(&req, listing).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /searches/deployments`
fn deployments(ctx: &Arc<Context>) -> Route {
    warp::path!("deployments")
        .and(warp::post())
        .and(extract::write(ctx))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let listing = listing(&req, ViewName::Deployments, Permission::DeploymentList)?;
            answer(&req, listing).await
        })
        .map(reply::ok)
        .boxed()
}

fn listing(
    req: &Request<Search>,
    view: ViewName,
    permission: Permission,
) -> Result<Listing, Error> {
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    Listing::parse(req, view, scope)
}

async fn answer(req: &Request<Search>, mut listing: Listing) -> Result<Answer, Error> {
    let rules = req.body.filter_rules.as_deref().unwrap_or_default();
    let view = req.view().await?;
    let visible = listing.narrow(req, &view, Some(rules)).await?;
    let listed = view.list(&listing.query).await?;
    let include = listing.include.as_ref();
    let documents = match listing.query.view {
        ViewName::Blueprints => wire::blueprints::join(&view, &listed.rows, include).await?,
        _ => wire::deployments::join(&view, &listed.rows, include).await?,
    };
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    let filtered = visible.map(|visible| visible - listed.total);
    Ok(listing
        .filtered_envelope(documents, listed.total, filtered)?
        .at(position))
}
