//! `/config`
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use stratalog_projections::{Condition, ListQuery, Scope, View, views::config::Setting};
use warp::Filter;

use crate::{
    auth::{Permission, Role, permission::Table},
    commands::{self, settings},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, body, extract, one_of, reply},
};

/// Scope that stands for roles and permissions alone.
const AUTHORIZATION: &str = "authorization";
const MASK: &str = "********";

/// `/config`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("config")
        .and(one_of(vec![list(ctx), get(ctx), put(ctx)]))
        .boxed()
}

/// `GET /config`
fn list(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| all(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn all(req: &Request) -> Result<Answer, Error> {
    req.caller.require(Permission::ManagerConfigGet)?;
    let scope = req.query().get("scope");
    let mut query = ListQuery::all(View::Config, Scope::Everything);
    if let Some(scope) = scope {
        query = query.with(Condition::AnyOf("scope".to_owned(), vec![scope.to_owned()]));
    }
    let view = req.view().await?;
    let mut settings: Vec<Setting> = view.select_as(&query).await?;
    settings.sort_by(|a, b| (&a.name, &a.scope).cmp(&(&b.name, &b.scope)));
    for setting in &mut settings {
        mask(req, setting)?;
    }
    let mut body = Map::new();
    body.insert("metadata".to_owned(), json!({}));
    let items = serde_json::to_value(&settings).map_err(Error::internal)?;
    body.insert("items".to_owned(), items);
    if scope.is_none_or(|scope| scope == AUTHORIZATION) {
        let table = commands::permissions::table(&view).await?;
        body.insert(AUTHORIZATION.to_owned(), authorization(&table));
    }
    Ok(Answer::json(&body)?.at(view.position()))
}

/// What only administrators see is hidden from others, and a password from everybody.
fn mask<B>(req: &Request<B>, setting: &mut Setting) -> Result<(), Error> {
    let is_secret = commands::ldap::is_password(setting)
        && setting.value.as_ref().is_some_and(|v| v.get() != "null");
    let is_for_others = setting.admin_only && !req.caller.administers_everything();
    if is_secret || is_for_others {
        let masked = serde_json::value::to_raw_value(MASK).map_err(Error::internal)?;
        setting.value = Some(masked);
    }
    Ok(())
}

/// Roles, and which of them hold which permission: the console's matrix.
fn authorization(table: &Table) -> Value {
    let role = |(i, role): (usize, Role)| {
        json!({
            "id": i + 1,
            "name": role.wire(),
            "type": if role.is_system() { "system_role" } else { "tenant_role" },
            "description": role.description(),
        })
    };
    let roles: Vec<Value> = Role::ALL.into_iter().enumerate().map(role).collect();
    let permissions: Map<String, Value> = table
        .all()
        .into_iter()
        .map(|(name, roles)| {
            let names: Vec<&str> = roles.iter().map(Role::wire).collect();
            (name.to_owned(), json!(names))
        })
        .collect();
    json!({"roles": roles, "permissions": permissions})
}

/// `GET /config/{[scope.]name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::ManagerConfigGet)?;
            let view = req.view().await?;
            let mut setting = settings::find(&view, &name).await?;
            mask(&req, &mut setting)?;
            Ok(req.answer(&setting)?.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}

#[derive(Debug, Deserialize)]
struct Put {
    value: Box<RawValue>,
    #[serde(default, deserialize_with = "body::flag")]
    force: bool,
}

/// `PUT /config/{[scope.]name}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::ManagerConfigPut))
        .then(async |Segment(name), req: Result<Request<Put>, Error>| {
            let req = req?;
            req.caller.require(Permission::ManagerConfigPut)?;
            let change = (&*req.body.value, req.body.force);
            settings::set(&req.ctx, &req.caller, &name, change).await?;
            let view = req.now().await?;
            let mut setting = settings::find(&view, &name).await?;
            mask(&req, &mut setting)?;
            Ok(req.answer(&setting)?.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}
