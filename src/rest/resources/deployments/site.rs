//! At which site a deployment is.
use std::sync::Arc;

use serde::Deserialize;
use warp::Filter;

use super::changed;
use crate::{
    auth::Permission,
    commands,
    context::Context,
    error::Error,
    rest::{Request, Route, Segment, body, extract, reply},
};

#[derive(Debug, Deserialize)]
struct SetSite {
    #[serde(default)]
    site_name: Option<String>,
    #[serde(default, deserialize_with = "body::flag")]
    detach_site: bool,
}

/// `POST /deployments/{id}/set-site`
pub(super) fn set_site(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "set-site")
        .and(warp::post())
        .and(extract::write(ctx, Permission::DeploymentSetSite))
        .then(async |Segment(id), req: Result<Request<SetSite>, Error>| {
            let (req, body) = req?.split();
            let how = (body.site_name.as_deref(), body.detach_site);
            commands::sites::set_site(&req.ctx, &req.caller, &id, how).await?;
            changed(&req, &id).await
        })
        .map(reply::ok)
        .boxed()
}
