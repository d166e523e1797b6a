//! What deployments depend on: recorded by hand, by components and shared resources, and by
//! functions in plans that ask other deployments for capabilities. Dependencies lie within a
//! tenant.
mod change;
mod circles;
mod delete;
mod dependents;
mod plan;
mod recursive;
mod targets;

use std::collections::BTreeSet;

use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName,
    views::{
        deployments::Deployment,
        inter_deployment_dependencies::{COMPONENT, InterDeploymentDependency},
        scoped,
    },
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{InterDeploymentDependenciesDeleted, OldDependency, Retargeted},
};

pub use change::{CreateDependency, NewDependency, create, create_many, replace};
pub use delete::{DeleteDependency, delete};
pub(crate) use dependents::{
    Disturbance, announced, check as check_dependents, rest_on_dependents,
};
pub(crate) use plan::replaced_by_plan;
pub(crate) use recursive::dependents_of;
pub(crate) use targets::found_anew;

use crate::{
    clock,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How the resource is called in messages.
pub const MODEL: (ViewName, &str) = (
    ViewName::InterDeploymentDependencies,
    "InterDeploymentDependencies",
);

/// Key of the stream of dependencies whose source is with another manager: no deployment has that
/// id, nor one that begins with it.
const EXTERNAL: &str = "*";

/// The stream of what one deployment depends on.
fn stream(tenant: &str, source: Option<&str>) -> StreamId {
    let source = source.unwrap_or(EXTERNAL);
    StreamId::scoped(Category::InterDeploymentDependency, tenant, source)
}

fn where_(tenant: &str, (field, ids): (&str, Vec<String>)) -> ListQuery {
    ListQuery::all(MODEL.0, Scope::Everything)
        .with(Condition::AnyOf(
            "tenant_name".to_owned(),
            vec![tenant.to_owned()],
        ))
        .with(Condition::AnyOf(field.to_owned(), ids))
}

/// What a deployment depends on; without one, what deployments of other managers depend on.
///
/// # Errors
/// Database errors.
async fn of_source(
    view: &View,
    tenant: &str,
    source: Option<&str>,
) -> Result<Vec<InterDeploymentDependency>, Error> {
    let ids = source.map(str::to_owned).into_iter().collect();
    let query = where_(tenant, ("source_deployment_id", ids));
    Ok(view.select_as(&query).await?)
}

/// What depends on a deployment.
///
/// # Errors
/// Database errors.
async fn of_target(
    view: &View,
    (tenant, target): (&str, &str),
) -> Result<Vec<InterDeploymentDependency>, Error> {
    let query = where_(tenant, ("target_deployment_id", vec![target.to_owned()]));
    Ok(view.select_as(&query).await?)
}

/// Ids of all deployments that a deployment depends on, directly or not.
///
/// # Errors
/// Database errors.
pub async fn dependencies_of(
    view: &View,
    (tenant, id): (&str, &str),
) -> Result<BTreeSet<String>, Error> {
    let mut found = BTreeSet::new();
    let mut next = vec![id.to_owned()];
    while !next.is_empty() {
        next = circles::targets_of(view, tenant, next).await?;
        next.retain(|id| found.insert(id.clone()));
    }
    Ok(found)
}

/// Keys of all deployments that are a component of another one.
///
/// # Errors
/// Database errors.
pub async fn components(view: &View) -> Result<Vec<String>, Error> {
    let query = ListQuery::all(MODEL.0, Scope::Everything).with(Condition::StartsWith(
        "dependency_creator".to_owned(),
        vec![COMPONENT.to_owned()],
    ));
    let rows = view
        .pick(&query, &["tenant_name", "target_deployment_id"])
        .await?;
    let key = |(_, values): (String, Vec<Option<String>>)| match &values[..] {
        [Some(tenant), Some(target)] => Some(scoped(tenant, target)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(key).collect())
}

/// The deployments that a deployment contains as components, by id.
///
/// # Errors
/// Database errors.
pub(crate) async fn components_of(
    view: &View,
    (tenant, id): (&str, &str),
) -> Result<BTreeSet<String>, Error> {
    let own = of_source(view, tenant, Some(id)).await?;
    Ok(own
        .into_iter()
        .filter(|dependency| dependency.dependency_creator.starts_with(COMPONENT))
        .filter_map(|dependency| dependency.target_deployment_id)
        .collect())
}

/// Takes dependencies of one source away.
fn taken_away(
    decision: &mut Decision,
    (tenant, source): (&str, Option<&str>),
    gone: Vec<InterDeploymentDependency>,
) {
    if gone.is_empty() {
        return;
    }
    let dependencies = gone.into_iter().map(|dependency| OldDependency {
        id: dependency.id,
        target_deployment_id: dependency.target_deployment_id,
    });
    let event = InterDeploymentDependenciesDeleted {
        tenant: tenant.to_owned(),
        source_deployment_id: source.map(str::to_owned),
        dependencies: dependencies.collect(),
    };
    decision.event(
        stream(tenant, source),
        Event::InterDeploymentDependenciesDeleted(event),
    );
}

/// A deployment goes: what it depends on is forgotten, and what depends on it has no target any
/// more. Comes before its deletion.
///
/// # Errors
/// Database errors.
pub(crate) async fn forgotten(
    view: &View,
    decision: &mut Decision,
    (tenant, id): (&str, &str),
) -> Result<(), Error> {
    decision.rests_on(view, stream(tenant, Some(id))).await?;
    rest_on_dependents(view, decision, (tenant, id)).await?;
    let own = of_source(view, tenant, Some(id)).await?;
    taken_away(decision, (tenant, Some(id)), own);
    for dependency in of_target(view, (tenant, id)).await? {
        if dependency.source_deployment_id.as_deref() == Some(id) {
            continue;
        }
        let event = Retargeted {
            id: dependency.id,
            former_target: dependency.target_deployment_id,
            target_deployment_id: None,
        };
        let source = dependency.source_deployment_id.as_deref();
        targets::retargeted(decision, (tenant, source), vec![event], clock::now_ms());
    }
    Ok(())
}

fn circle(source: &str, target: &str) -> Error {
    Error::refused(
        ErrorCode::Conflict,
        format!("Cyclic dependency between deployments `{source}` and `{target}`"),
    )
}

/// The deployment of that id, for whoever may not need it.
async fn deployment(view: &View, tenant: &str, id: &str) -> Result<Option<Deployment>, Error> {
    Ok(view.get(&scoped(tenant, id)).await?)
}
