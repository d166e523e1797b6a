//! `/workflows`
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName, views::deployments::Deployment,
};
use warp::Filter;

use crate::{
    auth::Permission,
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, extract, list::Listing, reply, wire},
};

/// `GET /workflows`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path!("workflows")
        .and(warp::get())
        .and(extract::read(ctx))
        .then(async |req: Result<Request, Error>| answer(&req?).await)
        .map(reply::ok)
        .boxed()
}

/// Workflows of the deployments the query admits, by name; one deployment of each blueprint is
/// looked at.
async fn answer(req: &Request) -> Result<Answer, Error> {
    let scope = req
        .caller
        .scope(req.all_tenants()?, Permission::DeploymentList)?;
    let mut listing = Listing::parse(req, ViewName::Deployments, scope)?;
    let (offset, size) = listing.whole()?;
    let view = req.view().await?;
    listing.narrow(req, &view, None).await?;
    let mut sampled: BTreeMap<Vec<Option<String>>, String> = BTreeMap::new();
    let of_blueprint = ["tenant_name", "blueprint_id"];
    for (key, blueprint) in view.pick(&listing.query, &of_blueprint).await? {
        sampled.entry(blueprint).or_insert(key);
    }
    let keys: Vec<String> = sampled.into_values().collect();
    let sampled =
        ListQuery::all(ViewName::Deployments, Scope::Everything).with(Condition::Keys(keys));
    let sampled: Vec<Deployment> = view.select_as(&sampled).await?;
    let mut union: BTreeMap<String, Value> = BTreeMap::new();
    for deployment in &sampled {
        let workflows = wire::workflows::of_deployment(&view, deployment).await?;
        for workflow in workflows.unwrap_or_default() {
            let name = workflow.get("name").and_then(Value::as_str);
            union
                .entry(name.unwrap_or_default().to_owned())
                .or_insert(workflow);
        }
    }
    let position = view.position();
    drop(view.finish().await?);
    let total = union.len();
    let bound = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    let items: Vec<Value> = union
        .into_values()
        .skip(bound(offset))
        .take(size.map_or(usize::MAX, bound))
        .collect();
    let body = json!({
        "items": items,
        "metadata": {
            "pagination": { "total": total, "size": listing.size, "offset": listing.offset },
        },
    });
    Ok(Answer::json(&body)?.at(position))
}
