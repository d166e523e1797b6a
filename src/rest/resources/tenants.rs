//! `/tenants`
use std::sync::Arc;

use serde::Deserialize;
use stratalog_projections::{Condition, Scope, View, views::tenants::Tenant};
use warp::Filter;

use crate::{
    auth::{Caller, Permission},
    commands::tenants::{self, Membership},
    context::Context,
    error::{Error, ErrorCode},
    rest::{
        Answer, Request, Route, Segment, extract, list::Listing, one_of, reply,
        wire::users::Memberships,
    },
    store,
};

mod groups;

/// `/tenants`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("tenants")
        .and(one_of(vec![
            list(ctx),
            add_user(ctx),
            update_user(ctx),
            remove_user(ctx),
            groups::add(ctx),
            groups::update(ctx),
            groups::remove(ctx),
            get(ctx),
            post(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// The caller within a tenant that the path or body names.
fn within<B>(req: &Request<B>, tenant: &str) -> Result<Caller, Error> {
    if req.ctx.directory.load().tenant(tenant).is_some() {
        return Ok(req.caller.in_tenant(tenant));
    }
    Err(unknown(tenant))
}

fn unknown(tenant: &str) -> Error {
    Error::refused(
        ErrorCode::Forbidden,
        format!("Authorization failed: Tried to authenticate with invalid tenant name: {tenant}"),
    )
}

fn get_data<B>(req: &Request<B>) -> Result<bool, Error> {
    let get_data = req.query().flag("_get_data")?;
    if get_data {
        req.caller.require(Permission::TenantListGetData)?;
    }
    Ok(get_data)
}

/// `GET /tenants`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| all(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn all(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::TenantList)?;
    let get_data = get_data(req)?;
    let mut listing = Listing::parse(req, View::Tenants, Scope::Everything)?;
    if !req.caller.may(Permission::AllTenants) {
        let own = req.caller.tenants().map(str::to_owned).collect();
        listing.query.conditions.push(Condition::Keys(own));
    }
    // the account on the broker is shown only to those who ask for it by name
    let named = listing.include.as_ref().is_some_and(|include| {
        ["rabbitmq_username", "rabbitmq_password", "rabbitmq_vhost"]
            .iter()
            .any(|field| include.names(field))
    });
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let memberships = Memberships::read(&view).await?;
    let mut documents = Vec::with_capacity(listed.rows.len());
    for row in &listed.rows {
        let tenant: Tenant = row.resource()?;
        let password = match named {
            true => password(req, &tenant)?,
            false => None,
        };
        let document = memberships.tenant(&tenant, get_data, password.as_deref());
        documents.push(document.to_string());
    }
    let documents = documents.iter().map(String::as_str);
    let answer = listing.envelope(documents, &listed)?;
    Ok(answer.at(view.position()))
}

/// Password of the tenant's account on the broker, for those who may know it.
fn password<B>(req: &Request<B>, tenant: &Tenant) -> Result<Option<String>, Error> {
    let caller = req.caller.in_tenant(&tenant.name);
    if !caller.may(Permission::TenantRabbitmqCredentials) {
        return Ok(None);
    }
    tenants::broker_password(&req.ctx, tenant).map(Some)
}

async fn one<B>(req: &Request<B>, view: &store::View, name: &str) -> Result<Answer, Error> {
    let found = view.row(View::Tenants, name).await?;
    let row = found.ok_or_else(|| Error::not_found("Tenant", name))?;
    let tenant: Tenant = row.resource()?;
    let password = password(req, &tenant)?;
    let memberships = Memberships::read(view).await?;
    let document = memberships.tenant(&tenant, get_data(req)?, password.as_deref());
    let answer = req.answer(&document)?.at(view.position());
    Ok(answer.since(row.since))
}

/// `GET /tenants/{name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            // a tenant that is gone can still be looked back at
            let view = req.view().await?;
            if view.row(View::Tenants, &name).await?.is_none() {
                return Err(unknown(&name));
            }
            let inside = req.caller.in_tenant(&name);
            inside.require(Permission::TenantGet)?;
            one(&req, &view, &name).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Default, Deserialize)]
struct Post {
    #[serde(default)]
    rabbitmq_password: Option<String>,
}

/// `POST /tenants/{name}`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write_optional(ctx, Permission::TenantCreate))
        .then(async |Segment(name), req: Result<Request<Post>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::TenantCreate)?;
            let password = body.rabbitmq_password;
            tenants::create(&req.ctx, &req.caller, &name, password).await?;
            one(&req, &req.now().await?, &name).await
        })
        .map(reply::created)
        .boxed()
}

/// `DELETE /tenants/{name}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(name): Segment, req: Result<Request, Error>| {
                let req = req?;
                req.caller.require(Permission::TenantDelete)?;
                tenants::delete(&req.ctx, &req.caller, &name).await
            },
        )
        .map(reply::no_content)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Member {
    tenant_name: String,
    username: String,
    role: String,
}

/// `PUT /tenants/users`
fn add_user(ctx: &Arc<Context>) -> Route {
    warp::path!("users")
        .and(warp::put())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantAddUser),
        ))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            let change = Membership::Add(tenants::tenant_role(&member.role)?);
            let names = (&*member.tenant_name, &*member.username);
            join(&req, names, change, Permission::TenantAddUser).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /tenants/users`
fn update_user(ctx: &Arc<Context>) -> Route {
    warp::path!("users")
        .and(warp::patch())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantUpdateUser),
        ))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            let change = Membership::Update(tenants::tenant_role(&member.role)?);
            let names = (&*member.tenant_name, &*member.username);
            join(&req, names, change, Permission::TenantUpdateUser).await
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
    tenants::change_member(&req.ctx, &caller, names, change).await?;
    one(req, &req.now().await?, names.0).await
}

#[derive(Debug, Deserialize)]
struct Leaver {
    tenant_name: String,
    username: String,
}

/// `DELETE /tenants/users`
fn remove_user(ctx: &Arc<Context>) -> Route {
    warp::path!("users")
        .and(warp::delete())
        .and(extract::write(
            ctx,
            extract::Gate::Somewhere(Permission::TenantRemoveUser),
        ))
        .then(async |req: Result<Request<Leaver>, Error>| {
            let (req, leaver) = req?.split();
            let names = (&*leaver.tenant_name, &*leaver.username);
            let caller = within(&req, names.0)?;
            caller.require(Permission::TenantRemoveUser)?;
            tenants::change_member(&req.ctx, &caller, names, Membership::Remove).await
        })
        .map(reply::no_content)
        .boxed()
}
