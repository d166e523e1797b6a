//! `/license`, `/license-check`, `/contacts`: nothing here needs a licence; the manager only knows
//! whose it is.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::customer,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, body, extract, list, one_of, reply},
};

const FIELDS: [&str; 7] = [
    "customer_id",
    "expiration_date",
    "license_edition",
    "trial",
    "cloudify_version",
    "capabilities",
    "expired",
];

/// All of them.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        check(ctx),
        all(ctx),
        post(ctx),
        delete(ctx),
        contact(ctx),
    ])
}

/// `GET /license-check`
fn check(ctx: &Arc<Context>) -> Route {
    warp::path!("license-check")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let view = req.view().await?;
            let id = customer::id(&view).await?;
            let answer = Answer::json(&id.unwrap_or_else(|| "OK".to_owned()))?;
            Ok(answer.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}

/// A licence without end and without conditions.
fn document(customer_id: &str) -> Value {
    json!({
        "customer_id": customer_id,
        "expiration_date": null,
        "license_edition": null,
        "trial": false,
        "cloudify_version": null,
        "capabilities": [],
        "expired": false,
    })
}

/// `GET /license`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path!("license")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::LicenseList)?;
            let view = req.view().await?;
            let id = customer::id(&view).await?;
            drop(view.finish().await?);
            let licences: Vec<Value> = id.iter().map(|id| document(id)).collect();
            list::of_values(&req, &licences, &FIELDS).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Customer {
    customer_id: String,
}

/// `POST /license`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!("license")
        .and(warp::post())
        .and(extract::write(ctx))
        .then(async |req: Result<Request<Customer>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::LicenseUpload)?;
            customer::set(&req.ctx, &req.caller, Some(&body.customer_id)).await?;
            Answer::json(&document(&body.customer_id))
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /license`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!("license")
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::LicenseRemove)?;
            customer::set(&req.ctx, &req.caller, None).await
        })
        .map(reply::no_content)
        .boxed()
}

/// Somebody who wants an id. Nothing of it is kept, and nobody is told.
#[derive(Debug, Deserialize)]
struct Contact {
    first_name: String,
    last_name: String,
    email: String,
    #[serde(deserialize_with = "body::flag")]
    is_eula: bool,
}

/// `POST /contacts`
fn contact(ctx: &Arc<Context>) -> Route {
    warp::path!("contacts")
        .and(warp::post())
        .and(extract::write(ctx))
        .then(async |req: Result<Request<Contact>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::CommunityContactCreate)?;
            let given = [&body.first_name, &body.last_name, &body.email];
            if given.iter().any(|text| text.trim().is_empty()) || !body.is_eula {
                return Err(Error::bad_parameters(
                    "A contact needs a name, an e-mail address and consent to the terms",
                ));
            }
            Answer::json(&json!({"customer_id": customer::new_id()}))
        })
        .map(reply::ok)
        .boxed()
}
