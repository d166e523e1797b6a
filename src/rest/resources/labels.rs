//! `/labels`: the keys and values in use.
use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;
use stratalog_projections::{Condition, ListQuery, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::labels::RESERVED_KEYS,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, Segment, extract, list, one_of, reply},
};

/// What of a document is looked at.
#[derive(Deserialize)]
struct Labelled {
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    key: String,
    value: String,
}

/// `/labels`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("labels")
        .and(one_of(vec![keys(ctx), values(ctx)]))
        .boxed()
}

/// Whose labels a path means.
fn labelled(name: &str) -> Result<ViewName, Error> {
    match name {
        "blueprints" => Ok(ViewName::Blueprints),
        "deployments" => Ok(ViewName::Deployments),
        _ => Err(Error::not_found("Labels", name)),
    }
}

/// `GET /labels/{type}`
fn keys(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |Segment(name), req: Result<Request, Error>| {
            let req = req?;
            if req.query().flag("_reserved")? {
                req.caller.require(Permission::LabelsList)?;
                labelled(&name)?;
                return list::of_texts(&req, &RESERVED_KEYS.map(str::to_owned));
            }
            in_use(&req, labelled(&name)?, None).await
        })
        .map(reply::ok)
        .boxed()
}

/// `GET /labels/{type}/{key}`
fn values(ctx: &Arc<Context>) -> Route {
    warp::path!(Segment / Segment)
        .and(warp::get())
        .and(extract::read(ctx))
        .then(
            async |Segment(name), Segment(key), req: Result<Request, Error>| {
                in_use(&req?, labelled(&name)?, Some(&key.to_lowercase())).await
            },
        )
        .map(reply::ok)
        .boxed()
}

/// Keys, or the values of one, sorted.
async fn in_use(req: &Request, of: ViewName, key: Option<&str>) -> Result<Answer, Error> {
    let scope = req.caller.scope(false, Permission::LabelsList)?;
    let mut query = ListQuery::all(of, scope);
    if let Some(key) = key {
        query = query.with(Condition::Has("labels".to_owned(), vec![key.to_owned()]));
    }
    let view = req.view().await?;
    let rows = view.select(&query).await?;
    let position = view.position();
    drop(view.finish().await?);
    let mut found = BTreeSet::new();
    for row in rows {
        let labelled: Labelled = serde_json::from_str(&row.doc).map_err(Error::internal)?;
        for label in labelled.labels {
            match key {
                None => found.insert(label.key),
                Some(key) if label.key == key => found.insert(label.value),
                Some(_) => false,
            };
        }
    }
    let found: Vec<String> = found.into_iter().collect();
    Ok(list::of_texts(req, &found)?.at(position))
}
