//! `/node-instances`
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use stratalog_projections::{View as ViewName, views::Json};
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::{
        self,
        node_instances::{MODEL, NewNodeInstance, UpdateNodeInstance},
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

/// `/node-instances`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("node-instances")
        .and(one_of(vec![
            all(ctx),
            post(ctx),
            get(ctx),
            patch(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /node-instances`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            list::answer(&req?, ViewName::NodeInstances, Permission::NodeInstanceList).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /node-instances/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| one(&req?, &id).await)
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, id: &str) -> Result<Answer, Error> {
    req.caller.require(Permission::NodeInstanceGet)?;
    let is_evaluated = req.query().flag("_evaluate_functions")?;
    let view = req.view().await?;
    let row = req.caller.get(&view, MODEL, id).await?;
    if !is_evaluated || !may_hold_calls(&row.doc) {
        let answer = req.document(&view, ViewName::NodeInstances, &row.doc)?;
        return Ok(answer.since(row.since));
    }
    let instance: Value = serde_json::from_str(&row.doc).map_err(Error::internal)?;
    let tenant = row.owner.tenant.unwrap_or_default();
    let evaluated =
        commands::deployments::instance((&view, req.opener()), &tenant, &instance).await?;
    let answer = req.document(&view, ViewName::NodeInstances, &evaluated.to_string())?;
    Ok(answer.since(row.since))
}

/// Whether a text can hold a call of an intrinsic function at all. Workers ask for evaluated
/// instances all the time, and hardly any of them holds one.
fn may_hold_calls(document: &str) -> bool {
    const BEGINNINGS: [&str; 4] = ["\"get_", "\"concat\"", "\"merge\"", "\"string_"];
    BEGINNINGS.iter().any(|name| document.contains(name))
}

#[derive(Debug, Deserialize)]
struct NewNodeInstances {
    deployment_id: String,
    node_instances: Vec<NewNodeInstance>,
}

/// `POST /node-instances`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::NodeList))
        .then(async |req: Result<Request<NewNodeInstances>, Error>| create(req?).await)
        .map(reply::any)
        .boxed()
}

async fn create(req: Request<NewNodeInstances>) -> Result<Response, Error> {
    let (req, body) = req.split();
    if body.node_instances.is_empty() {
        req.caller.require(Permission::NodeList)?;
        return Ok(reply::no_content(Ok(())));
    }
    let id = &body.deployment_id;
    commands::node_instances::create(&req.ctx, &req.caller, id, &body.node_instances).await?;
    Ok(reply::with(StatusCode::CREATED, Ok(Answer::null())))
}

/// Body of an update.
#[derive(Debug, Deserialize)]
struct Update {
    version: i64,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    runtime_properties: Option<Json>,
    #[serde(default)]
    system_properties: Option<Json>,
    #[serde(default)]
    relationships: Option<Json>,
}

/// `PATCH /node-instances/{id}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write_said(ctx, Permission::NodeInstanceUpdate))
        .then(async |Segment(id), req: Result<Request<Update>, Error>| update(req?, &id).await)
        .map(reply::ok)
        .boxed()
}

async fn update(req: Request<Update>, id: &str) -> Result<Answer, Error> {
    let (req, body) = req.split();
    if body.version < 0 {
        return Err(Error::bad_parameters(
            "version parameter is expected to be greater than or equal to 0",
        ));
    }
    let change = UpdateNodeInstance {
        version: body.version,
        state: body.state,
        runtime_properties: object("runtime_properties", body.runtime_properties)?,
        system_properties: object("system_properties", body.system_properties)?,
        relationships: body.relationships.filter(|json| json.get() != "null"),
        force: req.query().flag("force")?,
    };
    let updated = commands::node_instances::update(&req.ctx, &req.caller, id, change).await?;
    Ok(req.answer(&updated.instance)?.at(updated.position))
}

/// Properties are an object; null means that none are given.
fn object(name: &str, json: Option<Json>) -> Result<Option<Json>, Error> {
    match json {
        None => Ok(None),
        Some(json) if json.get() == "null" => Ok(None),
        Some(json) if json.get().starts_with('{') => Ok(Some(json)),
        Some(_) => Err(Error::bad_parameters(format!(
            "{name} parameter is expected to be of type dict"
        ))),
    }
}

/// `DELETE /node-instances/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            commands::node_instances::delete(&req.ctx, &req.caller, &id).await
        })
        .map(reply::no_content)
        .boxed()
}
