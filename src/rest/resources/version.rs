//! `/version`
use std::sync::Arc;

use serde_json::json;
use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, reply},
};

/// The version clients are told: the one whose API is served.
pub(super) const API_VERSION: &str = "7.1.0";

/// `GET /version`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path!("version")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| get(&req?))
        .map(reply::ok)
        .boxed()
}

fn get(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::VersionGet)?;
    Answer::json(&json!({
        // clients ask a "premium" manager for its licence first
        "edition": "community",
        "version": API_VERSION,
        "build": null,
        "date": null,
        "commit": null,
        "distribution": std::env::consts::OS,
        "distro_release": env!("CARGO_PKG_VERSION"),
    }))
}
