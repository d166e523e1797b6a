//! Searches among nodes, their types and their instances.
use std::sync::Arc;

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, Kind, StoredRow, View as ViewName,
    views::{blueprints::Blueprint, nodes::Node},
};
use warp::Filter;

use super::Search;
use crate::{
    auth::Permission,
    commands::{blueprints, constraints::Constraints},
    context::Context,
    error::Error,
    rest::{Answer, Request, Route, cursor, extract, list::Listing, reply, wire},
    store::View,
};

/// `POST /searches/nodes`
pub(super) fn nodes(ctx: &Arc<Context>) -> Route {
    warp::path!("nodes")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::NodeList),
        ))
        .then(async |req: Result<Request<Search>, Error>| answer(&req?, "id").await)
        .map(reply::ok)
        .boxed()
}

/// `POST /searches/node-types`
pub(super) fn node_types(ctx: &Arc<Context>) -> Route {
    warp::path!("node-types")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::NodeList),
        ))
        .then(async |req: Result<Request<Search>, Error>| answer(&req?, "type").await)
        .map(reply::ok)
        .boxed()
}

fn is(field: &str, value: &str) -> Condition {
    Condition::AnyOf(field.to_owned(), vec![value.to_owned()])
}

async fn answer(req: &Request<Search>, field: &str) -> Result<Answer, Error> {
    let scope = req.caller.scope(req.all_tenants()?, Permission::NodeList)?;
    let constraints = req.constraints()?.unwrap_or_default();
    let mut listing = Listing::search_by(req, ViewName::Nodes, scope, field)?;
    let deployment = req.named("deployment_id", constraints.deployment_id.as_ref());
    let blueprint = req.named("blueprint_id", constraints.blueprint_id.as_ref());
    let view = req.view().await?;
    match (deployment, blueprint) {
        (Some(deployment), None) => {
            listing
                .query
                .conditions
                .push(is("deployment_id", &deployment));
            of_deployment(req, (view, listing), (field, &constraints)).await
        }
        (None, Some(blueprint)) => {
            of_blueprint(req, (view, listing), (&blueprint, field, &constraints)).await
        }
        _ => Err(Error::bad_parameters(
            "You should provide either deployment_id or blueprint_id",
        )),
    }
}

async fn of_deployment(
    req: &Request<Search>,
    (view, mut listing): (View, Listing),
    (field, constraints): (&str, &Constraints),
) -> Result<Answer, Error> {
    let is_narrowed = req.body.constraints.is_some() || req.body.filter_rules.is_some();
    let rules = req.body.filter_rules.as_deref().unwrap_or_default();
    let all = view.count(&listing.query).await?;
    listing.narrow(req, &view, Some(rules)).await?;
    listing
        .query
        .conditions
        .extend(constraints.conditions(field, field));
    if let Some(names) = &constraints.operations {
        // operations are in the documents alone
        let rows = view.select(&listing.query).await?;
        let mut keys = Vec::new();
        for row in rows {
            if has_operation(&row, &|name| names.admit(name))? {
                keys.push(row.key);
            }
        }
        listing.query.conditions.push(Condition::Keys(keys));
    }
    let listed = listing.find(req, &view).await?;
    let documents = wire::nodes::join(&view, &listed.rows, listing.include.as_ref()).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    let filtered = is_narrowed.then_some(all - listed.total);
    Ok(listing
        .filtered_envelope(documents, &listed, filtered)?
        .at(position))
}

fn has_operation(row: &StoredRow, admits: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
    let node: Node = row.resource()?;
    let operations = node.operations.as_ref().map_or("{}", |json| json.get());
    let operations: Map<String, Value> =
        serde_json::from_str(operations).map_err(Error::internal)?;
    Ok(operations.keys().any(|name| admits(name)))
}

/// Nodes of a blueprint's plan, all of them, in the form of nodes.
async fn of_blueprint(
    req: &Request<Search>,
    (view, listing): (View, Listing),
    (blueprint, field, constraints): (&str, &str, &Constraints),
) -> Result<Answer, Error> {
    cursor::refuse(req.query())?;
    let row = req.caller.get(&view, blueprints::MODEL, blueprint).await?;
    let position = view.position();
    drop(view.finish().await?);
    let blueprint: Blueprint = row.resource()?;
    let plan = blueprint.plan.as_ref().map_or("{}", |plan| plan.get());
    let plan: Value = serde_json::from_str(plan).map_err(Error::internal)?;
    let nodes = plan.get("nodes").and_then(Value::as_array);
    let nodes: Vec<&Value> = nodes.into_iter().flatten().collect();
    let wanted = req.query().get("_search").map(str::to_lowercase);
    let admits = |node: &&&Value| {
        let name = node.get(field).and_then(Value::as_str).unwrap_or_default();
        let operations = node.get("operations").and_then(Value::as_object);
        constraints.admit(name)
            && wanted
                .as_ref()
                .is_none_or(|wanted| name.to_lowercase().contains(wanted))
            && constraints.operations.as_ref().is_none_or(|names| {
                let mut keys = operations.into_iter().flat_map(Map::keys);
                keys.any(|name| names.admit(name))
            })
    };
    let documents: Vec<String> = nodes
        .iter()
        .filter(admits)
        .map(|node| shown(node))
        .collect();
    let count = |number: usize| i64::try_from(number).map_err(Error::internal);
    let filtered = count(nodes.len() - documents.len())?;
    let documents = documents.iter().map(String::as_str);
    Ok(listing
        .filtered_envelope(documents, count(nodes.len())?, Some(filtered))?
        .at(position))
}

/// A node of a plan with the fields that nodes have.
fn shown(node: &Value) -> String {
    let fields = ViewName::Nodes.def().fields.iter();
    let members: Map<String, Value> = fields
        .map(|field| {
            let nothing = match field.kind {
                Kind::Int => Value::from(0),
                _ => Value::Null,
            };
            let value = node.get(field.name).cloned();
            (field.name.to_owned(), value.unwrap_or(nothing))
        })
        .collect();
    Value::Object(members).to_string()
}

/// `POST /searches/node-instances`
pub(super) fn node_instances(ctx: &Arc<Context>) -> Route {
    warp::path!("node-instances")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::NodeList),
        ))
        .then(async |req: Result<Request<Search>, Error>| instances(&req?).await)
        .map(reply::ok)
        .boxed()
}

async fn instances(req: &Request<Search>) -> Result<Answer, Error> {
    let scope = req.caller.scope(req.all_tenants()?, Permission::NodeList)?;
    let constraints = req.constraints()?;
    let mut listing = Listing::search(req, ViewName::NodeInstances, scope)?;
    let constrained = constraints.as_ref().and_then(|c| c.deployment_id.as_ref());
    let deployment = req.named("deployment_id", constrained);
    if constraints.is_some() && deployment.is_none() {
        return Err(Error::bad_parameters(
            "You should provide deployment_id together with constraints",
        ));
    }
    let conditions = &mut listing.query.conditions;
    conditions.extend(deployment.map(|id| is("deployment_id", &id)));
    conditions.extend(req.query().get("node_id").map(|id| is("node_id", id)));
    let view = req.view().await?;
    let all = view.count(&listing.query).await?;
    let is_narrowed = constraints.is_some() || req.body.filter_rules.is_some();
    let rules = req.body.filter_rules.as_deref().unwrap_or_default();
    listing.narrow(req, &view, Some(rules)).await?;
    let further = constraints.map(|c| c.conditions("id", "id"));
    listing.query.conditions.extend(further.unwrap_or_default());
    let listed = listing.find(req, &view).await?;
    let position = view.position();
    drop(view.finish().await?);
    let documents = listed.rows.iter().map(|row| row.doc.as_str());
    let filtered = is_narrowed.then_some(all - listed.total);
    Ok(listing
        .filtered_envelope(documents, &listed, filtered)?
        .at(position))
}
