//! `/provider/context`
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use stratalog_projections::{View, views::provider_context::KEY};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::settings,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, one_of, reply},
};

/// `/provider/context`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("provider")
        .and(one_of(vec![get(ctx), post(ctx)]))
        .boxed()
}

/// `GET /provider/context`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!("context")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ProviderContextGet)?;
            let view = req.view().await?;
            let row = view.row(View::ProviderContext, KEY).await?;
            let row = row.ok_or_else(|| Error::not_found("ProviderContext", KEY))?;
            req.document(&view, View::ProviderContext, &row.doc)
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Post {
    name: String,
    context: Box<RawValue>,
}

/// `POST /provider/context`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!("context")
        .and(warp::post())
        .and(extract::write(ctx, Permission::ProviderContextCreate))
        .then(
            async |req: Result<Request<Post>, Error>| match set(req).await {
                Ok((status, answer)) => reply::with(status, Ok(answer)),
                Err(error) => reply::error(&error),
            },
        )
        .boxed()
}

async fn set(req: Result<Request<Post>, Error>) -> Result<(StatusCode, Answer), Error> {
    let req = req?;
    req.caller.require(Permission::ProviderContextCreate)?;
    let update = req.query().flag("update")?;
    if !req.body.context.get().starts_with('{') {
        return Err(Error::bad_parameters(
            "context parameter is expected to be of type dict",
        ));
    }
    let context = (req.body.name.as_str(), &*req.body.context);
    settings::set_provider_context(&req.ctx, &req.caller, context, update).await?;
    let status = match update {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    Ok((status, Answer::json(&json!({"status": "ok"}))?))
}
