//! `/searches`: lists with filter rules or constraints in the body.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::{Condition, View as ViewName};
use warp::Filter;

use crate::{
    auth::Permission,
    commands::{constraints::Constraints, filters},
    context::Context,
    error::Error,
    rest::{
        Answer, Request, Route, extract,
        list::{self, Listing},
        one_of,
        remembered::remembered,
        reply, wire,
    },
    store::View,
};

mod nodes;
mod plans;

/// The body of a search.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    filter_rules: Option<Vec<Value>>,
    constraints: Option<Map<String, Value>>,
}

/// `/searches`
pub(super) fn routes(ctx: &Arc<Context>) -> Route {
    warp::path("searches")
        .and(one_of(vec![
            blueprints(ctx),
            deployments(ctx),
            workflows(ctx),
            secrets(ctx),
            nodes::nodes(ctx),
            nodes::node_types(ctx),
            nodes::node_instances(ctx),
            plans::capabilities(ctx),
            plans::scaling_groups(ctx),
        ]))
        .boxed()
}

impl Request<Search> {
    /// The constraints; rules and filters do not go together with them.
    fn constraints(&self) -> Result<Option<Constraints>, Error> {
        let Some(map) = &self.body.constraints else {
            return Ok(None);
        };
        if self.body.filter_rules.is_some() || self.query().get("_filter_id").is_some() {
            return Err(Error::bad_parameters(
                "You should provide either filter_id/filter_rules or DSL constraints, not both",
            ));
        }
        Constraints::parse(map).map(Some)
    }

    /// A value that may stand in the query or in the constraints.
    fn named(&self, name: &str, constrained: Option<&String>) -> Option<String> {
        let given = self.query().get(name).filter(|value| !value.is_empty());
        given.map(str::to_owned).or_else(|| constrained.cloned())
    }
}

/// `POST /searches/blueprints`
fn blueprints(ctx: &Arc<Context>) -> Route {
    warp::path!("blueprints")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::BlueprintList),
        ))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let make = async {
                let mut listing = listing(&req, ViewName::Blueprints, Permission::BlueprintList)?;
                let shown = Condition::AnyOf("is_hidden".to_owned(), vec!["false".to_owned()]);
                listing.query.conditions.push(shown);
                answer(&req, listing).await
            };
            remembered(&req, &ViewName::ALL, Box::pin(make)).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /searches/deployments`
fn deployments(ctx: &Arc<Context>) -> Route {
    warp::path!("deployments")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::DeploymentList),
        ))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let make = async {
                let listing = listing(&req, ViewName::Deployments, Permission::DeploymentList)?;
                answer(&req, listing).await
            };
            remembered(&req, &ViewName::ALL, Box::pin(make)).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /searches/secrets`
fn secrets(ctx: &Arc<Context>) -> Route {
    warp::path!("secrets")
        .and(warp::post())
        .and(extract::write(ctx, Permission::SecretList))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let scope = req.caller.scope(false, Permission::SecretList)?;
            answer(&req, Listing::search(&req, ViewName::Secrets, scope)?).await
        })
        .map(reply::ok)
        .boxed()
}

/// `POST /searches/workflows`
fn workflows(ctx: &Arc<Context>) -> Route {
    warp::path!("workflows")
        .and(warp::post())
        .and(extract::write(
            ctx,
            extract::Gate::List(Permission::DeploymentList),
        ))
        .then(async |req: Result<Request<Search>, Error>| {
            let req = req?;
            let is_common = req.query().flag("_common_only")?;
            let mut listing = listing(&req, ViewName::Deployments, Permission::DeploymentList)?;
            let page = listing.whole()?;
            let view = req.view().await?;
            narrowed(&req, &view, &mut listing).await?;
            let found = wire::workflows::of_all(&view, &listing.query, is_common).await?;
            let position = view.position();
            drop(view.finish().await?);
            let (items, total) = list::slice(found, page);
            let body = json!({
                "items": items,
                "metadata": {"pagination": {
                    "total": total, "size": listing.size, "offset": listing.offset,
                }},
            });
            Ok(Answer::json(&body)?.at(position))
        })
        .map(reply::ok)
        .boxed()
}

fn listing(
    req: &Request<Search>,
    view: ViewName,
    permission: Permission,
) -> Result<Listing, Error> {
    let scope = req.caller.scope(req.all_tenants()?, permission)?;
    Listing::search(req, view, scope)
}

/// Narrows a list of blueprints or deployments by what the body says; gives how many there were.
async fn narrowed(
    req: &Request<Search>,
    view: &View,
    listing: &mut Listing,
) -> Result<Option<i64>, Error> {
    let Some(constraints) = req.constraints()? else {
        let rules = req.body.filter_rules.as_deref().unwrap_or_default();
        return listing.narrow(req, view, Some(rules)).await;
    };
    let of = listing.query.view;
    let mut rules = constraints.rules.clone();
    if let (Some(id), Some(kind)) = (&constraints.filter_id, filters::Kind::of(of)) {
        rules.extend(filters::rules(view, &req.caller, kind, id).await?);
    }
    let name = match of {
        ViewName::Deployments => "display_name",
        ViewName::Secrets => "key",
        _ => "id",
    };
    let visible = listing.narrow(req, view, Some(&rules)).await?;
    listing
        .query
        .conditions
        .extend(constraints.conditions(name, "id"));
    let is_in = |field: &str, id: &Option<String>| {
        id.clone()
            .map(|id| Condition::AnyOf(field.to_owned(), vec![id]))
    };
    if of == ViewName::Deployments {
        let blueprint = is_in("blueprint_id", &constraints.blueprint_id);
        listing.query.conditions.extend(blueprint);
        let deployment = is_in("id", &constraints.deployment_id);
        listing.query.conditions.extend(deployment);
    }
    Ok(visible)
}

async fn answer(req: &Request<Search>, mut listing: Listing) -> Result<Answer, Error> {
    let view = req.view().await?;
    let visible = narrowed(req, &view, &mut listing).await?;
    let listed = listing.find(req, &view).await?;
    let include = listing.include.as_ref();
    let documents = match listing.query.view {
        ViewName::Blueprints => wire::blueprints::join(&view, &listed.rows, include).await?,
        ViewName::Secrets => wire::secrets::without_values(&listed.rows),
        _ => wire::deployments::join(&view, &listed.rows, include).await?,
    };
    let position = view.position();
    drop(view.finish().await?);
    let documents = documents.iter().map(String::as_str);
    let filtered = visible.map(|visible| visible - listed.total);
    Ok(listing
        .filtered_envelope(documents, &listed, filtered)?
        .at(position))
}
