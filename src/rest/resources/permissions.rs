//! `/permissions`
use std::sync::Arc;

use serde_json::{Value, json};
use warp::Filter;

use crate::{
    auth::Role,
    commands::{self, permissions::Change},
    context::Context,
    error::{Error, ErrorCode},
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

const FIELDS: [&str; 2] = ["role", "permission"];

/// `/permissions`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("permissions")
        .and(one_of(vec![all(ctx), of_role(ctx), put(ctx), delete(ctx)]))
        .boxed()
}

/// Permissions are for administrators of the manager only, since a change holds in all tenants;
/// others are told so with a 401.
fn check(req: &Request) -> Result<(), Error> {
    if req.caller.administers_everything() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::Unauthorized,
        "User unauthorized: Only admin users are permitted to edit permissions",
    ))
}

async fn listed(req: &Request, is_wanted: impl Fn(Role) -> bool) -> Result<Answer, Error> {
    let view = req.view().await?;
    let table = commands::permissions::table(&view).await?;
    drop(view.finish().await?);
    let pairs: Vec<Value> = table
        .all()
        .into_iter()
        .flat_map(|(name, roles)| roles.iter().map(move |role| (name, role)))
        .filter(|(_, role)| is_wanted(*role))
        .map(|(name, role)| json!({"role": role.wire(), "permission": name}))
        .collect();
    list::of_values(req, &pairs, &FIELDS).await
}

/// `GET /permissions`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            check(&req)?;
            listed(&req, |_| true).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /permissions/{role}`
fn of_role(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            check(&req)?;
            let role = Role::by_name(&name).ok_or_else(|| Error::not_found("Role", &name))?;
            listed(&req, |other| other == role).await
        })
        .map(reply::ok)
        .boxed()
}

async fn change(req: &Request, names: (&str, &str), change: Change) -> Result<(), Error> {
    check(req)?;
    commands::permissions::change(&req.ctx, &req.caller, names, change).await
}

/// `PUT /permissions/{role}/{permission}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / Segment)
        .and(warp::put())
        .and(extract::read(ctx))
        .then(
            async |Segment(role): Segment,
                   Segment(permission): Segment,
                   req: Result<Request, Error>| {
                let req = req?;
                change(&req, (&role, &permission), Change::Grant).await?;
                Answer::json(&json!({"role": role, "permission": permission}))
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /permissions/{role}/{permission}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(role): Segment,
                   Segment(permission): Segment,
                   req: Result<Request, Error>| {
                change(&req?, (&role, &permission), Change::Revoke).await
            },
        )
        .map(reply::no_content)
        .boxed()
}
