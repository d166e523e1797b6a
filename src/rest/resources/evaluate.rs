//! `/evaluate`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use warp::Filter;

use super::deployments::resource;
use crate::{
    auth::Permission,
    commands,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, reply},
};

#[derive(Debug, Deserialize)]
struct Functions {
    deployment_id: String,
    #[serde(default)]
    context: Option<Map<String, Value>>,
    payload: Map<String, Value>,
}

/// `POST /evaluate/functions`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path!("evaluate" / "functions")
        .and(warp::post())
        .and(extract::write(ctx, Permission::FunctionsEvaluate))
        .then(async |req: Result<Request<Functions>, Error>| functions(req?).await)
        .map(reply::ok)
        .boxed()
}

async fn functions(req: Request<Functions>) -> Result<Answer, Error> {
    let (req, body) = req.split();
    req.caller.require(Permission::FunctionsEvaluate)?;
    let view = req.view().await?;
    let id = &body.deployment_id;
    let deployment = resource(&req, &view, id).await?;
    let payload = Value::Object(body.payload);
    let context = Value::Object(body.context.unwrap_or_default());
    let evaluated =
        commands::deployments::functions((&view, req.opener()), &deployment, (&payload, &context))
            .await?;
    let answer = req.answer(&json!({ "deployment_id": id, "payload": evaluated }))?;
    Ok(answer.at(view.position()))
}
