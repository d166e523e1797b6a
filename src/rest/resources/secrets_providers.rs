//! `/secrets-providers`
use std::sync::Arc;

use serde_json::Value;
use stratalog_projections::{
    StoredRow, View as ViewName, views::secrets_providers::SecretsProvider,
};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{
        self,
        secrets::{NewProvider, PROVIDER, UpdateProvider},
    },
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list::Listing, one_of, reply},
    store::View,
};

/// `/secrets-providers`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("secrets-providers")
        .and(one_of(vec![
            all(ctx),
            put(ctx),
            get(ctx),
            patch(ctx),
            delete(ctx),
        ]))
        .boxed()
}

/// How a provider is reached is shown only to those who may know it.
fn document(req: &Request, row: &StoredRow) -> Result<Value, Error> {
    let provider: SecretsProvider = row.resource()?;
    let mut document = serde_json::to_value(&provider).map_err(Error::internal)?;
    let inside = req.caller.in_tenant(&provider.tenant_name);
    let parameters = match inside.may(Permission::SecretsProviderCredentials) {
        true => commands::secrets::connection_parameters(&req.ctx, &provider)?.into(),
        false => Value::Null,
    };
    if let Some(members) = document.as_object_mut() {
        members.insert("connection_parameters".to_owned(), parameters);
    }
    Ok(document)
}

/// `GET /secrets-providers`
fn all(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| {
            let req = req?;
            let permission = Permission::SecretsProviderList;
            let scope = req.caller.scope(req.all_tenants()?, permission)?;
            let listing = Listing::parse(&req, PROVIDER.0, scope)?;
            let view = req.view().await?;
            let listed = listing.find(&req, &view).await?;
            let mut documents = Vec::with_capacity(listed.rows.len());
            for row in &listed.rows {
                documents.push(document(&req, row)?.to_string());
            }
            let documents = documents.iter().map(String::as_str);
            let answer = listing.envelope(documents, &listed)?;
            Ok(answer.at(view.position()))
        })
        .map(reply::ok)
        .boxed()
}

async fn one(req: &Request, view: &View, name: &str) -> Result<Answer, Error> {
    let row = req.caller.get(view, PROVIDER, name).await?;
    let document = document(req, &row)?.to_string();
    let answer = req.document(view, ViewName::SecretsProviders, &document)?;
    Ok(answer.since(row.since))
}

/// `PUT /secrets-providers`
fn put(ctx: &Arc<Context>) -> Route {
    warp::path::end()
        .and(warp::put())
        .and(extract::write(ctx, Permission::SecretsProviderCreate))
        .then(async |req: Result<Request<NewProvider>, Error>| {
            let (req, new) = req?.split();
            if !commands::secrets::create_provider(&req.ctx, &req.caller, &new).await? {
                return Ok(reply::no_content(Ok(())));
            }
            let answer = one(&req, &req.now().await?, &new.name).await;
            Ok(reply::ok(answer))
        })
        .map(reply::any)
        .boxed()
}

/// `GET /secrets-providers/{name}`
fn get(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            req.caller.require(Permission::SecretsProviderGet)?;
            one(&req, &req.view().await?, &name).await
        })
        .map(reply::ok)
        .boxed()
}

/// `PATCH /secrets-providers/{name}`
fn patch(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::patch())
        .and(extract::write(ctx, Permission::SecretsProviderUpdate))
        .then(
            async |Segment(name), req: Result<Request<UpdateProvider>, Error>| {
                let (req, change) = req?.split();
                commands::secrets::update_provider(&req.ctx, &req.caller, &name, &change).await?;
                one(&req, &req.now().await?, &name).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// `DELETE /secrets-providers/{name}`
fn delete(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::delete())
        .and(extract::read(ctx))
        .then(
            async |Segment(name): Segment, req: Result<Request, Error>| {
                let req = req?;
                commands::secrets::delete_provider(&req.ctx, &req.caller, &name).await
            },
        )
        .map(reply::no_content)
        .boxed()
}
