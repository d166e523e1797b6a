//! What clients ask about the edition: `/idp`, `/ldap`.
use std::sync::Arc;

use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, one_of, reply},
};

/// Both.
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    one_of(vec![
        told(ctx, "idp", Permission::IdentityProviderGet, "local"),
        told(ctx, "ldap", Permission::LdapStatusGet, "disabled"),
    ])
}

/// `GET /idp`, `GET /ldap`: users are our own.
fn told(
    ctx: &Arc<Context>,
    path: &'static str,
    permission: Permission,
    answer: &'static str,
) -> Route {
    warp::path(path)
        .and(warp::path::end())
        .and(warp::get())
        .and(extract::read(ctx))
        .then(move |req: Result<Request, Error>| async move {
            req?.caller.require(permission)?;
            Answer::json(answer)
        })
        .map(reply::ok)
        .boxed()
}
