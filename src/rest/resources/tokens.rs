//! `/tokens`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use stratalog_projections::{Condition, Scope, View, views::tokens::Token};
use warp::Filter;

use crate::{
    auth::Permission,
    commands,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, one_of, reply},
    store,
};

/// `/tokens`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("tokens")
        .and(one_of(vec![list(ctx), post(ctx), get(ctx), delete(ctx)]))
        .boxed()
}

/// As clients see it; the role is its owner's.
fn document(ctx: &Context, token: &Token, value: &str) -> Value {
    let directory = ctx.directory.load();
    json!({
        "id": token.id,
        "username": token.username,
        "value": value,
        "role": directory.user(&token.username).map(|user| &user.role),
        "expiration_date": token.expiration_date,
        "last_used": token.last_used,
        "description": token.description,
    })
}

/// `GET /tokens`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| all(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn all(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::TokenGet)?;
    let mut listing = Listing::parse(req, View::Tokens, Scope::Everything)?;
    if !req.caller.may(Permission::ManageOthersTokens) {
        listing.query.conditions.push(Condition::AnyOf(
            "username".to_owned(),
            vec![req.caller.username.clone()],
        ));
    }
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let mut documents = Vec::with_capacity(listed.rows.len());
    for row in &listed.rows {
        let token: Token = row.resource()?;
        documents.push(document(&req.ctx, &token, &token.value).to_string());
    }
    let documents = documents.iter().map(String::as_str);
    let answer = listing.envelope(documents, &listed)?;
    Ok(answer.at(view.position()))
}

#[derive(Debug, Default, Deserialize)]
struct Post {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    expiration_date: Option<String>,
}

/// `POST /tokens`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write_optional(ctx, Permission::CreateToken))
        .then(async |req: Result<Request<Post>, Error>| create(req?).await)
        .map(reply::ok)
        .boxed()
}

async fn create(req: Request<Post>) -> Result<Answer, Error> {
    req.caller.require(Permission::CreateToken)?;
    let Post {
        description,
        expiration_date,
    } = &req.body;
    let created = commands::tokens::create(
        &req.ctx,
        &req.caller,
        description.clone(),
        expiration_date.as_deref(),
    );
    let (id, value) = created.await?;
    let view = req.now().await?;
    let token = commands::tokens::get(&view, &req.caller, &id).await?;
    let answer = req.answer(&document(&req.ctx, &token, &value))?;
    Ok(answer.at(view.position()))
}

/// `GET /tokens/{id}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(id), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ListToken)?;
            one(&req, &req.view().await?, &id).await
        })
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, view: &store::View, id: &str) -> Result<Answer, Error> {
    let token = commands::tokens::get(view, &req.caller, id).await?;
    let answer = req.answer(&document(&req.ctx, &token, &token.value))?;
    Ok(answer.at(view.position()))
}

/// `DELETE /tokens/{id}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(id): Segment, req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::DeleteToken)?;
            commands::tokens::delete(&req.ctx, &req.caller, &id).await
        })
        .map(reply::no_content)
        .boxed()
}
