//! `/livez`, `/readyz`, `/metrics`: for whoever watches over the process.
use std::sync::{Arc, atomic::Ordering};

use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use stratalog_projections::At;
use warp::{Filter, reply::Response};

use crate::{
    context::Context,
    rest::{Answer, Route, one_of, reply},
};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// All three.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![live(), ready(ctx), metrics(ctx)])
}

/// `GET /livez`: the process answers.
fn live() -> Route {
    warp::path!("livez")
        .and(warp::get())
        .map(|| reply::ok(Answer::json("ok")))
        .boxed()
}

/// `GET /readyz`: requests can be served. Without RabbitMQ they can, and that is said.
fn ready(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("readyz")
        .and(warp::get())
        .then(move || {
            let ctx = ctx.clone();
            async move { readiness(&ctx).await }
        })
        .boxed()
}

async fn readiness(ctx: &Context) -> Response {
    let database = match ctx.store.read(At::Now).await {
        Ok(view) => view.finish().await.is_ok(),
        Err(_) => false,
    };
    let is_draining = ctx.is_draining.load(Ordering::Relaxed);
    let broker = match &ctx.broker {
        Some(broker) if broker.state().borrow().is_up() => "up",
        Some(_) => "down",
        None => "none",
    };
    let is_ready = database && !is_draining;
    let status = match is_ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({
        "ready": is_ready,
        "database": if database { "up" } else { "down" },
        "broker": broker,
        "draining": is_draining,
    });
    reply::with(status, Answer::json(&body))
}

/// `GET /metrics`: in Prometheus' format.
fn metrics(ctx: &Arc<Context>) -> Route {
    let ctx = ctx.clone();
    warp::path!("metrics")
        .and(warp::get())
        .map(move || {
            let mut response = Response::new(ctx.metrics_text().into());
            response.headers_mut().insert(CONTENT_TYPE, TEXT);
            response
        })
        .boxed()
}
