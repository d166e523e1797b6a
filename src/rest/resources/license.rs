//! `/license`, `/license-check`, `/contacts`: nothing here needs a licence; the manager only knows
//! whose it is.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::customer::{self, Terms},
    context::Context,
    error::Error,
    rest::{Answer, BodyStream, Request, Route, body, extract, list, one_of, reply, uploads},
    store::View,
};

/// Largest licence file.
const BYTES_MAX: u64 = 64 * 1024;

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
        put(ctx),
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

/// A licence; one without terms has neither end nor conditions.
fn document(customer_id: &str, terms: &Terms) -> Value {
    json!({
        "customer_id": customer_id,
        "expiration_date": terms.expiration_date,
        "license_edition": terms.license_edition,
        "trial": terms.trial,
        "cloudify_version": terms.cloudify_version,
        "capabilities": terms.capabilities,
        "expired": terms.is_over(),
    })
}

async fn documents(view: &View) -> Result<Vec<Value>, Error> {
    let terms = customer::terms(view).await?.unwrap_or_default();
    let id = customer::id(view).await?;
    Ok(id.iter().map(|id| document(id, &terms)).collect())
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
            let licences = documents(&view).await?;
            drop(view.finish().await?);
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
        .and(extract::write(ctx, Permission::LicenseUpload))
        .then(async |req: Result<Request<Customer>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::LicenseUpload)?;
            customer::set(&req.ctx, &req.caller, Some(&body.customer_id)).await?;
            Answer::json(&document(&body.customer_id, &Terms::default()))
        })
        .map(reply::ok)
        .boxed()
}

/// `PUT /license`: a licence file, whatever its content type says.
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!("license")
        .and(warp::put())
        .and(extract::upload(ctx))
        .then(async |req: Result<Request<BodyStream>, Error>| uploaded(req?).await)
        .map(reply::ok)
        .boxed()
}

async fn uploaded(req: Request<BodyStream>) -> Result<Answer, Error> {
    req.caller.require(Permission::LicenseUpload)?;
    let (req, text) = uploads::words(req, BYTES_MAX).await?;
    customer::upload(&req.ctx, &req.caller, &text).await?;
    let view = req.now().await?;
    let licences = documents(&view).await?;
    let position = view.position();
    drop(view.finish().await?);
    Ok(Answer::json(&licences.into_iter().next())?.at(position))
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
        .and(extract::write(ctx, Permission::CommunityContactCreate))
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
