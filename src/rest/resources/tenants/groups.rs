//! `/tenants/user-groups`: what groups of users are in a tenant.
use std::sync::Arc;

use serde::Deserialize;
use warp::Filter;

use super::{one, within};
use crate::{
    auth::Permission,
    commands::{
        tenants::{self, Membership},
        user_groups,
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, reply},
};

#[derive(Debug, Deserialize)]
struct Member {
    tenant_name: String,
    group_name: String,
    role: String,
}

/// `PUT /tenants/user-groups`
pub(super) fn add(ctx: &Arc<Context>) -> Route {
    warp::path!("user-groups")
        .and(warp::put())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantAddGroup),
        ))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            let change = Membership::Add(tenants::tenant_role(&member.role)?);
            let names = (&*member.tenant_name, &*member.group_name);
            join(&req, names, change, Permission::TenantAddGroup).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /tenants/user-groups`
pub(super) fn update(ctx: &Arc<Context>) -> Route {
    warp::path!("user-groups")
        .and(warp::patch())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantUpdateGroup),
        ))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            let change = Membership::Update(tenants::tenant_role(&member.role)?);
            let names = (&*member.tenant_name, &*member.group_name);
            join(&req, names, change, Permission::TenantUpdateGroup).await
        })
        .map(reply::ok)
        .boxed()
}

async fn join(
    req: &Request,
    names: (&str, &str),
    change: Membership,
    permission: Permission,
) -> Result<Answer, Error> {
    let caller = within(req, names.0)?;
    caller.require(permission)?;
    user_groups::change_member(&req.ctx, &caller, names, change).await?;
    one(req, &req.now().await?, names.0).await
}

#[derive(Debug, Deserialize)]
struct Leaver {
    tenant_name: String,
    group_name: String,
}

/// `DELETE /tenants/user-groups`
pub(super) fn remove(ctx: &Arc<Context>) -> Route {
    warp::path!("user-groups")
        .and(warp::delete())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantRemoveGroup),
        ))
        .then(async |req: Result<Request<Leaver>, Error>| {
            let (req, leaver) = req?.split();
            let names = (&*leaver.tenant_name, &*leaver.group_name);
            let caller = within(&req, names.0)?;
            caller.require(Permission::TenantRemoveGroup)?;
            user_groups::change_member(&req.ctx, &caller, names, Membership::Remove).await
        })
        .map(reply::no_content)
        .boxed()
}
