//! Searches among what deployments and blueprints declare: capabilities and scaling groups.
use std::sync::Arc;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    Condition, View as ViewName,
    views::{Json, blueprints::Blueprint, deployments::Deployment},
};
use warp::Filter;

use super::Search;
use crate::{
    auth::Permission,
    commands::{self, blueprints, constraints::Constraints},
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, extract,
        list::{self, Listing},
        reply,
    },
    store::View,
};

fn object(json: Option<&Json>) -> Result<Map<String, Value>, Error> {
    let text = json.map_or("{}", |json| json.get());
    serde_json::from_str(text).map_err(Error::internal)
}

/// `POST /searches/capabilities`
pub(super) fn capabilities(ctx: &Arc<Context>) -> Route {
    warp::path!("capabilities")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::DeploymentCapabilities),
        ))
        .then(async |req: Result<Request<Search>, Error>| of_deployments(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn of_deployments(req: &Request<Search>) -> Result<Answer, Error> {
    let permission = Permission::DeploymentCapabilities;
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    let constraints = req.constraints()?.unwrap_or_default();
    let named = req.named("deployment_id", constraints.deployment_id.as_ref());
    let named = named
        .ok_or_else(|| Error::bad_parameters("You should provide deployment_id for the search"))?;
    let mut listing = Listing::search_by(req, ViewName::Deployments, scope, "")?;
    let page = listing.whole()?;
    let contains = Condition::Contains("id".to_owned(), vec![named]);
    listing.query.conditions.push(contains);
    let view = req.view().await?;
    let deployments: Vec<Deployment> = view.select_as(&listing.query).await?;
    let (mut items, mut left_out) = (Vec::new(), 0);
    for deployment in deployments {
        let all = declared(req, &view, &deployment).await?;
        let number = all.len();
        let wanted = |(name, spec): &(String, Value)| admits(req, &constraints, (name, spec));
        let found: Vec<Value> = all
            .into_iter()
            .filter(wanted)
            .map(|(name, spec)| json!({ name: spec }))
            .collect();
        left_out += number - found.len();
        if !found.is_empty() {
            items.push(json!({"deployment_id": deployment.id, "capabilities": found}));
        }
    }
    let position = view.position();
    drop(view.finish().await?);
    let (items, total) = list::slice(items, page);
    let body = json!({
        "items": items,
        "metadata": {
            "pagination": {"total": total, "size": listing.size, "offset": listing.offset},
            "filtered": left_out,
        },
    });
    Ok(Answer::json(&body)?.at(position))
}

/// Capabilities as declared, with their values of now where these can be known.
async fn declared(
    req: &Request<Search>,
    view: &View,
    deployment: &Deployment,
) -> Result<Map<String, Value>, Error> {
    let mut all = object(deployment.capabilities.as_ref())?;
    let values = match commands::deployments::capabilities((view, req.opener()), deployment).await {
        Ok(values) => values,
        // what cannot be evaluated yet is shown as it is declared
        Err(Error::Refused { .. }) => Map::new(),
        Err(error) => return Err(error),
    };
    for (name, value) in values {
        if let Some(Value::Object(spec)) = all.get_mut(&name) {
            spec.insert("value".to_owned(), value);
        }
    }
    Ok(all)
}

fn admits(req: &Request<Search>, constraints: &Constraints, (name, spec): (&str, &Value)) -> bool {
    let value = spec.get("value").unwrap_or(&Value::Null);
    let is_listed = |listed: &Vec<Value>| listed.contains(value);
    let is_searched = |text: &str| match value {
        Value::String(value) => value == text,
        other => serde_json::to_string(other).is_ok_and(|other| other == text),
    };
    let names = constraints.capabilities.as_ref();
    constraints.is_like(name)
        && names.is_none_or(|names| names.admit(name))
        && constraints.valid_values.as_ref().is_none_or(is_listed)
        && req.query().get("_search").is_none_or(is_searched)
}

/// `POST /searches/scaling-groups`
pub(super) fn scaling_groups(ctx: &Arc<Context>) -> Route {
    warp::path!("scaling-groups")
        .and(warp::post())
        .and(extract::write(ctx, Permission::DeploymentGet))
        .then(async |req: Result<Request<Search>, Error>| groups(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn groups(req: &Request<Search>) -> Result<Answer, Error> {
    req.caller.require(Permission::DeploymentGet)?;
    let constraints = req.constraints()?.unwrap_or_default();
    let scope = req.caller.scope(false, Permission::DeploymentGet)?;
    let listing = Listing::search_by(req, ViewName::Deployments, scope, "")?;
    let deployment = req.named("deployment_id", constraints.deployment_id.as_ref());
    let blueprint = req.named("blueprint_id", constraints.blueprint_id.as_ref());
    let view = req.view().await?;
    let groups = match (deployment, blueprint) {
        (Some(id), None) => {
            let row = req
                .caller
                .get(&view, commands::deployments::MODEL, &id)
                .await?;
            let deployment: Deployment = row.resource()?;
            object(deployment.scaling_groups.as_ref())?
        }
        (None, Some(id)) => {
            let row = req.caller.get(&view, blueprints::MODEL, &id).await?;
            let blueprint: Blueprint = row.resource()?;
            let mut plan = object(blueprint.plan.as_ref())?;
            match plan.remove("scaling_groups") {
                Some(Value::Object(groups)) => groups,
                _ => Map::new(),
            }
        }
        _ => {
            return Err(Error::bad_parameters(
                "You should provide either deployment_id or blueprint_id",
            ));
        }
    };
    let position = view.position();
    drop(view.finish().await?);
    let all = groups.len();
    let wanted = req.query().get("_search").map(str::to_lowercase);
    let is_wanted = |name: &str| {
        let searched = wanted.as_ref();
        constraints.admit(name)
            && searched.is_none_or(|wanted| name.to_lowercase().contains(wanted))
    };
    let found: Vec<Value> = groups
        .into_iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, spec)| {
            let member = |key: &str| spec.get(key).cloned().unwrap_or(Value::Null);
            json!({"deployment_id": null, "name": name, "members": member("members"),
                "properties": member("properties")})
        })
        .collect();
    let filtered = all - found.len();
    let (items, _) = list::slice(found, (listing.query.offset, listing.query.size));
    let body = json!({
        "items": items,
        "metadata": {
            "pagination": {"total": all, "size": listing.size, "offset": listing.offset},
            "filtered": filtered,
        },
    });
    Ok(Answer::json(&body)?.at(position))
}
