//! `/maintenance`
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use stratalog_projections::{View as ViewName, views::maintenance::Status};
use warp::{Filter, reply::Response};

use crate::{
    auth::Permission,
    commands::maintenance,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, one_of, reply},
    store::View,
};

/// `/maintenance`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("maintenance")
        .and(one_of(vec![get(ctx), activate(ctx), deactivate(ctx)]))
        .boxed()
}

/// How far it is, with the executions that are waited for.
async fn document(view: &View) -> Result<Value, Error> {
    let maintenance = maintenance::get(view).await?;
    let remaining = match maintenance.status {
        Status::Activating => {
            let running = maintenance::remaining(view).await?;
            running
                .iter()
                .map(|execution| {
                    json!({
                        "id": execution.id,
                        "status": execution.status,
                        "deployment_id": execution.deployment_id,
                        "workflow_id": execution.workflow_id,
                    })
                })
                .collect()
        }
        _ => Value::Null,
    };
    let mut document = serde_json::to_value(&maintenance).map_err(Error::internal)?;
    document["remaining_executions"] = remaining;
    Ok(document)
}

/// `GET /maintenance`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::MaintenanceModeGet)?;
            let view = req.view().await?;
            let document = document(&view).await?.to_string();
            req.document(&view, ViewName::Maintenance, &document)
        })
        .map(reply::ok)
        .boxed()
}

/// What a change answers: how far it is now, or that there was nothing to change.
async fn changed(req: &Request, is_change: bool) -> Result<Response, Error> {
    if !is_change {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let view = req.now().await?;
    let mut document = document(&view).await?;
    // clients know the executions one level deeper here
    if let Some(remaining @ Value::Array(_)) = document.get_mut("remaining_executions") {
        *remaining = json!([remaining.take()]);
    }
    Ok(reply::ok(Ok(Answer::json(&document)?.at(view.position()))))
}

/// `POST /maintenance/activate`
fn activate(ctx: &Arc<Context>) -> Route {
    warp::path!("activate")
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let begun = maintenance::activate(&req.ctx, &req.caller).await?;
            changed(&req, begun).await
        })
        .map(reply::any)
        .boxed()
}

/// `POST /maintenance/deactivate`
fn deactivate(ctx: &Arc<Context>) -> Route {
    warp::path!("deactivate")
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let ended = maintenance::deactivate(&req.ctx, &req.caller).await?;
            changed(&req, ended).await
        })
        .map(reply::any)
        .boxed()
}
