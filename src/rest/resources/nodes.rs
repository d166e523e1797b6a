//! `/nodes`
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::View as ViewName;
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::{
        self,
        nodes::{NewNode, UpdateNode},
    },
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, Segment, extract, list::Listing, one_of, remembered::remembered,
        reply, wire,
    },
    store::View,
};

/// `/nodes`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("nodes")
        .and(one_of(vec![list(ctx), post(ctx), patch(ctx), delete(ctx)]))
        .boxed()
}

/// `GET /nodes`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            if req.query().flag("_evaluate_functions")? {
                // it may hold secrets: they are not kept, and change where nobody tells
                return Box::pin(page(&req)).await;
            }
            remembered(&req, &ViewName::ALL, Box::pin(page(&req))).await
        })
        .map(reply::ok)
        .boxed()
}

async fn page(req: &Request) -> Result<Answer, Error> {
    let scope = req.caller.scope(req.all_tenants()?, Permission::NodeList)?;
    let listing = Listing::parse(req, ViewName::Nodes, scope)?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let mut documents = wire::nodes::join(&view, &listed.rows, listing.include.as_ref()).await?;
    if req.query().flag("_evaluate_functions")? {
        documents = evaluated(req, &view, &documents).await?;
    }
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    Ok(listing.envelope(documents, &listed)?.at(position))
}

async fn evaluated(req: &Request, view: &View, documents: &[String]) -> Result<Vec<String>, Error> {
    let mut nodes: Vec<Value> = Vec::with_capacity(documents.len());
    for document in documents {
        nodes.push(serde_json::from_str(document).map_err(Error::internal)?);
    }
    let instance = req.query().get("_instance_context");
    let nodes = commands::deployments::nodes((view, req.opener()), nodes, instance).await?;
    Ok(nodes.iter().map(Value::to_string).collect())
}

#[derive(Debug, Deserialize)]
struct NewNodes {
    deployment_id: String,
    nodes: Vec<NewNode>,
}

/// `POST /nodes`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::NodeList))
        .then(async |req: Result<Request<NewNodes>, Error>| create(req?).await)
        .map(reply::any)
        .boxed()
}

async fn create(req: Request<NewNodes>) -> Result<Response, Error> {
    let (req, body) = req.split();
    if body.nodes.is_empty() {
        req.caller.require(Permission::NodeList)?;
        return Ok(reply::no_content(Ok(())));
    }
    commands::nodes::create(&req.ctx, &req.caller, &body.deployment_id, &body.nodes).await?;
    Ok(reply::with(StatusCode::CREATED, Ok(Answer::null())))
}

/// `PATCH /nodes/{deployment}/{node}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::NodeUpdate))
        .then(
            async |Segment(deployment), Segment(id), req: Result<Request<UpdateNode>, Error>| {
                let (req, body) = req?.split();
                let node = (deployment.as_str(), id.as_str());
                commands::nodes::update(&req.ctx, &req.caller, node, &body).await
            },
        )
        .map(reply::no_content)
        .boxed()
}

/// `DELETE /nodes/{deployment}/{node}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(deployment), Segment(id), req: Result<Request, Error>| {
                let req = req?;
                let node = (deployment.as_str(), id.as_str());
                commands::nodes::delete(&req.ctx, &req.caller, node).await
            },
        )
        .map(reply::no_content)
        .boxed()
}
