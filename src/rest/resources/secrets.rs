//! `/secrets`
use std::sync::Arc;

use serde_json::{Map, Value, json};
use stratalog_projections::{View as ViewName, views::secrets::Secret};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        secrets::{Import, MODEL, NewSecret, UpdateSecret},
    },
    context::Context,
    error::Error,
    rest::{Answer, Include, Request, Route, Segment, body, extract, list::Listing, one_of, reply},
    store::View,
};

/// What a list shows of a secret: nothing that tells of its value.
const LISTED: [&str; 9] = [
    "key",
    "created_at",
    "updated_at",
    "resource_availability",
    "visibility",
    "tenant_name",
    "created_by",
    "is_hidden_value",
    "provider_name",
];

/// `/secrets`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("secrets")
        .and(one_of(vec![
            all(ctx),
            get(ctx),
            put(ctx),
            patch(ctx),
            delete(ctx),
            set_visibility(ctx),
            export(ctx),
            import(ctx),
        ]))
        .boxed()
}

/// `GET /secrets`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            // the tenant asked for counts, even when all are listed
            req.caller.require(Permission::SecretList)?;
            let scope = req
                .caller
                .scope(req.all_tenants()?, Permission::SecretList)?;
            let mut listing = Listing::parse(&req, ViewName::Secrets, scope)?;
            listing.include.get_or_insert_with(|| Include::of(LISTED));
            listing.read(&req).await
        })
        .map(reply::ok)
        .boxed()
}

/// The document of a secret with this value in it.
fn document(req: &Request, view: &View, secret: &Secret, value: Value) -> Result<Value, Error> {
    let document = serde_json::to_value(secret).map_err(Error::internal)?;
    let Value::Object(mut members) = document else {
        return Ok(document);
    };
    let options = match commands::secrets::sees(view, &req.caller, secret) {
        true => commands::secrets::provider_options(&req.ctx, secret)?,
        false => None,
    };
    members.insert("value".to_owned(), value);
    members.insert("provider_options".to_owned(), options.into());
    Ok(Value::Object(members))
}

/// The secret, and the position since which it is what it is.
async fn find(req: &Request, view: &View, key: &str) -> Result<(Secret, i64), Error> {
    let row = req.caller.get(view, MODEL, key).await?;
    Ok((row.resource()?, row.since))
}

/// The secret after a change; whoever sets a value knows it.
async fn changed(req: &Request, key: &str) -> Result<Answer, Error> {
    let view = req.now().await?;
    let (secret, since) = find(req, &view, key).await?;
    let document = document(req, &view, &secret, Value::from(""))?;
    Ok(req.answer(&document)?.at(view.position()).since(since))
}

/// `GET /secrets/{key}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(key), req: Result<Request, Error>| one(&req?, &key).await)
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, key: &str) -> Result<Answer, Error> {
    req.caller.require_or_execution(Permission::SecretGet)?;
    let is_skipped = req.query().flag("_skip_value")?;
    let view = req.view().await?;
    let (secret, since) = find(req, &view, key).await?;
    let value = match !is_skipped && commands::secrets::sees(&view, &req.caller, &secret) {
        true => commands::secrets::value(&req.ctx, &view, &req.caller, &secret).await?,
        false => Value::from(""),
    };
    let document = document(req, &view, &secret, value)?;
    Ok(req.answer(&document)?.at(view.position()).since(since))
}

/// `PUT /secrets/{key}`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::put())
        .and(extract::write(ctx, Permission::SecretCreate))
        .then(
            async |Segment(key), req: Result<Request<NewSecret>, Error>| {
                let (req, new) = req?.split();
                commands::secrets::create(&req.ctx, &req.caller, &key, &new).await?;
                changed(&req, &key).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `PATCH /secrets/{key}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write_optional(ctx, Permission::SecretUpdate))
        .then(
            async |Segment(key), req: Result<Request<UpdateSecret>, Error>| {
                let (req, change) = req?.split();
                commands::secrets::update(&req.ctx, &req.caller, &key, &change).await?;
                changed(&req, &key).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /secrets/{key}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(async |Segment(key): Segment, req: Result<Request, Error>| {
            let req = req?;
            commands::secrets::delete(&req.ctx, &req.caller, &key).await
        })
        .map(reply::no_content)
        .boxed()
}

/// `PATCH /secrets/{key}/set-visibility`
fn set_visibility(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / "set-visibility")
        .and(warp::patch())
        .and(extract::write(ctx, Permission::SecretUpdate))
        .then(
            async |Segment(key), req: Result<Request<body::SetVisibility>, Error>| {
                let (req, body) = req?.split();
                let wanted = &body.visibility;
                commands::secrets::set_visibility(&req.ctx, &req.caller, &key, wanted).await?;
                changed(&req, &key).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `GET /secrets/share/export`
fn export(ctx: &Arc<Context>) -> Route {
    warp::path!("share" / "export")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| exported(&req?).await)
        .map(reply::ok)
        .boxed()
}

/// What is told of an exported secret.
const EXPORTED: [&str; 11] = [
    "key",
    "value",
    "visibility",
    "tenant_name",
    "is_hidden_value",
    "encrypted",
    "provider",
    "provider_options",
    "creator",
    "created_at",
    "updated_at",
];

async fn exported(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::SecretExport)?;
    let include = Include::parse(req.query(), |name| EXPORTED.contains(&name))?;
    let mut listing = Listing::parse_for(req, (ViewName::Secrets, include), scope)?;
    (listing.query.size, listing.query.offset) = (None, 0);
    let with_metadata = req.query().flag("_include_metadata")?;
    let passphrase = req.query().get("_passphrase");
    let view = req.view().await?;
    let rows = view.select(&listing.query).await?;
    let how = (rows.as_slice(), passphrase, with_metadata);
    let mut items = commands::secrets::export(&req.ctx, &view, &req.caller, how).await?;
    if let Some(include) = &listing.include {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.retain(|name, _| include.names(name));
        }
    }
    Ok(Answer::json(&items)?.at(view.position()))
}

/// `POST /secrets/share/import`
fn import(ctx: &Arc<Context>) -> Route {
    warp::path!("share" / "import")
        .and(warp::post())
        .and(extract::write(ctx, Permission::SecretImport))
        .then(async |req: Result<Request<Import>, Error>| {
            let (req, body) = req?.split();
            let outcome = commands::secrets::import(&req.ctx, &req.caller, &body).await?;
            let colliding: Map<String, Value> = outcome
                .colliding
                .into_iter()
                .map(|(tenant, keys)| (tenant, Value::from(keys)))
                .collect();
            Answer::json(&json!({
                "colliding_secrets": colliding,
                "secrets_errors": outcome.errors,
            }))
        })
        .map(reply::ok)
        .boxed()
}
