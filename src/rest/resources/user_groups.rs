//! `/user-groups`
use std::sync::Arc;

use serde::Deserialize;
use stratalog_projections::{Scope, View, views::user_groups::UserGroup};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        user_groups::{self, NewGroup},
        users,
    },
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, Segment, extract, list::Listing, one_of, reply,
        wire::users::Memberships,
    },
    store,
};

/// `/user-groups`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("user-groups")
        .and(one_of(vec![
            list(ctx),
            create(ctx),
            add_user(ctx),
            remove_user(ctx),
            get(ctx),
            post(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// `GET /user-groups`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| all(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn all(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::UserGroupList)?;
    let get_data = req.query().flag("_get_data")?;
    let listing = Listing::parse(req, View::UserGroups, Scope::Everything)?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let memberships = Memberships::read(&view).await?;
    let mut documents = Vec::with_capacity(listed.rows.len());
    for row in &listed.rows {
        let document = memberships.group(&row.resource()?, get_data);
        documents.push(document.to_string());
    }
    let documents = documents.iter().map(String::as_str);
    let answer = listing.envelope(documents, &listed)?;
    Ok(answer.at(view.position()))
}

async fn one<B>(req: &Request<B>, view: &store::View, name: &str) -> Result<Answer, Error> {
    let found = view.row(View::UserGroups, name).await?;
    let row = found.ok_or_else(|| Error::not_found("Group", name))?;
    let group: UserGroup = row.resource()?;
    let get_data = req.query().flag("_get_data")?;
    let document = Memberships::read(view).await?.group(&group, get_data);
    let answer = req.answer(&document)?.at(view.position());
    Ok(answer.since(row.since))
}

#[derive(Debug, Deserialize)]
struct New {
    group_name: String,
    #[serde(default)]
    ldap_group_dn: Option<String>,
    #[serde(default)]
    role: Option<String>,
}

/// `POST /user-groups`
fn create(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::post())
        .and(extract::write(ctx, Permission::UserGroupCreate))
        .then(async |req: Result<Request<New>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::UserGroupCreate)?;
            let new = NewGroup {
                role: users::system_role(body.role.as_deref().unwrap_or("default"))?,
                name: body.group_name,
                ldap_dn: body.ldap_group_dn.filter(|dn| !dn.is_empty()),
            };
            user_groups::create(&req.ctx, &req.caller, &new).await?;
            one(&req, &req.now().await?, &new.name).await
        })
        .map(reply::created)
        .boxed()
}

/// `GET /user-groups/{name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::UserGroupGet)?;
            one(&req, &req.view().await?, &name).await
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Post {
    role: String,
}

/// `POST /user-groups/{name}`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::UserGroupUpdate))
        .then(async |Segment(name), req: Result<Request<Post>, Error>| {
            let (req, body) = req?.split();
            req.caller.require(Permission::UserGroupUpdate)?;
            let role = users::system_role(&body.role)?;
            user_groups::set_role(&req.ctx, &req.caller, &name, role).await?;
            one(&req, &req.now().await?, &name).await
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /user-groups/{name}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(name): Segment, req: Result<Request, Error>| {
                let req = req?;
                req.caller.require(Permission::UserGroupDelete)?;
                user_groups::delete(&req.ctx, &req.caller, &name).await
            },
        )
        .map(reply::no_content)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Member {
    username: String,
    group_name: String,
}

/// `PUT /user-groups/users`
fn add_user(ctx: &Arc<Context>) -> Route {
    warp::path!("users")
        .and(warp::put())
        .and(extract::write(ctx, Permission::UserGroupAddUser))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            req.caller.require(Permission::UserGroupAddUser)?;
            let names = (&*member.group_name, &*member.username);
            user_groups::add_user(&req.ctx, &req.caller, names).await?;
            one(&req, &req.now().await?, &member.group_name).await
        })
        .map(reply::ok)
        .boxed()
}

/// `DELETE /user-groups/users`
fn remove_user(ctx: &Arc<Context>) -> Route {
    warp::path!("users")
        .and(warp::delete())
        .and(extract::write(ctx, Permission::UserGroupRemoveUser))
        .then(async |req: Result<Request<Member>, Error>| {
            let (req, member) = req?.split();
            req.caller.require(Permission::UserGroupRemoveUser)?;
            let names = (&*member.group_name, &*member.username);
            user_groups::remove_user(&req.ctx, &req.caller, names).await
        })
        .map(reply::no_content)
        .boxed()
}
