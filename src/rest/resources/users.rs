//! `/user` and `/users`
use std::sync::Arc;

use chrono::DateTime;
use serde::Deserialize;
use stratalog_projections::{Scope, View, views::users::User};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::users::{self, Change, NewUser, Password},
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, Segment, body, extract,
        list::Listing,
        one_of, reply,
        wire::users::{Memberships, Shown},
    },
    store,
};

/// `GET /user`
pub(super) fn own(ctx: &Arc<Context>) -> Route {
    warp::path!("user")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::UserGetSelf)?;
            let view = req.view().await?;
            one(&req, &view, &req.caller.username).await
        })
        .map(reply::ok)
        .boxed()
}

/// `/users`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("users")
        .and(one_of(vec![
            list(ctx),
            put(ctx),
            get(ctx),
            post(ctx),
            delete(ctx),
            activate(ctx),
            unlock(ctx),
        ]))
        .boxed()
}

fn shown<B>(req: &Request<B>) -> Result<Shown, Error> {
    let hash = req.query().flag("_include_hash")?;
    if hash {
        req.caller.require(Permission::GetPasswordHash)?;
    }
    let get_data = req.query().flag("_get_data")?;
    Ok(Shown { get_data, hash })
}

/// One user as it is at the moment of the view.
async fn one<B>(req: &Request<B>, view: &store::View, username: &str) -> Result<Answer, Error> {
    let found = view.row(View::Users, &username.to_lowercase()).await?;
    let row = found.ok_or_else(|| Error::not_found("User", username))?;
    let user: User = row.resource()?;
    let memberships = Memberships::read(view).await?;
    let document = memberships.user(&req.ctx.directory, &user, shown(req)?);
    let answer = req.answer(&document)?.at(view.position());
    Ok(answer.since(row.since))
}

/// `GET /users`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| all(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn all(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::UserList)?;
    let shown = shown(req)?;
    let listing = Listing::parse(req, View::Users, Scope::Everything)?;
    let view = req.view().await?;
    let listed = listing.find(req, &view).await?;
    let memberships = Memberships::read(&view).await?;
    let mut documents = Vec::with_capacity(listed.rows.len());
    for row in &listed.rows {
        let document = memberships.user(&req.ctx.directory, &row.resource()?, shown);
        documents.push(document.to_string());
    }
    let documents = documents.iter().map(String::as_str);
    let answer = listing.envelope(documents, &listed)?;
    Ok(answer.at(view.position()))
}

#[derive(Debug, Deserialize)]
struct Put {
    username: String,
    password: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, deserialize_with = "body::flag")]
    is_prehashed: bool,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    first_login_at: Option<String>,
    #[serde(default)]
    last_login_at: Option<String>,
}

/// A time that somebody restores.
fn moment(text: &str) -> Result<i64, Error> {
    let parsed = DateTime::parse_from_rfc3339(text);
    let at = parsed.map_err(|_| {
        Error::bad_parameters(format!(
            "`{text}` is no date and time, or missing timezone information"
        ))
    })?;
    Ok(at.timestamp_millis())
}

/// `PUT /users`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::put())
        .and(extract::write(ctx, Permission::UserCreate))
        .then(async |req: Result<Request<Put>, Error>| create(req?).await)
        .map(reply::created)
        .boxed()
}

async fn create(req: Request<Put>) -> Result<Answer, Error> {
    req.caller.require(Permission::UserCreate)?;
    let (req, body) = req.split();
    let restored = [&body.first_login_at, &body.last_login_at];
    let mut logins_ms = Vec::new();
    for text in restored.into_iter().flatten() {
        logins_ms.push(moment(text)?);
    }
    let created_at_ms = body.created_at.as_deref().map(moment).transpose()?;
    if created_at_ms.is_some() || !logins_ms.is_empty() {
        req.caller.require(Permission::SetTimestamp)?;
    }
    let user = NewUser {
        role: users::system_role(body.role.as_deref().unwrap_or("default"))?,
        password: match body.is_prehashed {
            true => Password::Hashed(body.password),
            false => Password::Clear(body.password),
        },
        username: body.username.clone(),
        created_at_ms,
        logins_ms,
    };
    users::create(&req.ctx, &req.caller, user).await?;
    one(&req, &req.now().await?, &body.username).await
}

/// `GET /users/{username}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(username), req: Result<Request, Error>| {
            let req = req?;
            if !is_self(&req, &username) {
                req.caller.require(Permission::UserGet)?;
            }
            one(&req, &req.view().await?, &username).await
        })
        .map(reply::ok)
        .boxed()
}

fn is_self<B>(req: &Request<B>, username: &str) -> bool {
    req.caller.username.eq_ignore_ascii_case(username)
}

#[derive(Debug, Deserialize)]
struct Post {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, deserialize_with = "body::optional_flag")]
    show_getting_started: Option<bool>,
}

/// `POST /users/{username}`
fn post(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::post())
        .and(extract::write(ctx, extract::Gate::Oneself(Permission::UserUpdate)))
        .then(async |Segment(username), req: Result<Request<Post>, Error>| {
            let (req, body) = req?.split();
            let change = match (body.password, body.role, body.show_getting_started) {
                (Some(password), None, None) => Change::Password(password),
                (None, Some(role), None) => Change::Role(users::system_role(&role)?),
                (None, None, Some(shown)) => Change::ShowGettingStarted(shown),
                (None, None, None) => {
                    return Err(Error::bad_parameters(
                        "Must provide either role, password or show_getting_started",
                    ));
                }
                _ => {
                    return Err(Error::bad_parameters(
                        "Can only change one of role, password and show_getting_started at a time",
                    ));
                }
            };
            let is_own = is_self(&req, &username) && !matches!(change, Change::Role(_));
            if !is_own {
                req.caller.require(Permission::UserUpdate)?;
            }
            apply(&req, &username, change).await
        })
        .map(reply::ok)
        .boxed()
}

async fn apply(req: &Request, username: &str, change: Change) -> Result<Answer, Error> {
    users::change(&req.ctx, &req.caller, username, change).await?;
    one(req, &req.now().await?, username).await
}

/// `DELETE /users/{username}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(username): Segment, req: Result<Request, Error>| {
                let req = req?;
                req.caller.require(Permission::UserDelete)?;
                users::delete(&req.ctx, &req.caller, &username).await
            },
        )
        .map(reply::no_content)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Action {
    action: String,
}

/// `POST /users/active/{username}`
fn activate(ctx: &Arc<Context>) -> Route {
    warp::path!("active" / Segment)
        .and(warp::post())
        .and(extract::write(ctx, Permission::UserSetActivated))
        .then(
            async |Segment(username), req: Result<Request<Action>, Error>| {
                let (req, body) = req?.split();
                req.caller.require(Permission::UserSetActivated)?;
                let change = Change::Active(body.action == "activate");
                apply(&req, &username, change).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `POST /users/unlock/{username}`
fn unlock(ctx: &Arc<Context>) -> Route {
    warp::path!("unlock" / Segment)
        .and(warp::post())
        .and(extract::read(ctx))
        .then(async |Segment(username), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::UserUnlock)?;
            apply(&req, &username, Change::Unlock).await
        })
        .map(reply::ok)
        .boxed()
}
