//! Finding out anew what deployments depend on, where that takes a function.
use std::collections::BTreeSet;

use serde_json::Value;
use stratalog_projections::views::{
    deployments::Deployment, inter_deployment_dependencies::InterDeploymentDependency,
};
use stratalog_schema::{
    Event,
    events::{InterDeploymentDependenciesRetargeted, Retargeted},
};

use super::{circles, dependents, of_source, stream};
use crate::{
    clock,
    commands::{deployments, json::object, secrets::Opener},
    error::Error,
    store::{Decision, View},
};

/// Other targets of one source's dependencies.
pub(super) fn retargeted(
    decision: &mut Decision,
    (tenant, source): (&str, Option<&str>),
    dependencies: Vec<Retargeted>,
    at_ms: i64,
) {
    let event = InterDeploymentDependenciesRetargeted {
        tenant: tenant.to_owned(),
        source_deployment_id: source.map(str::to_owned),
        dependencies,
        at_ms,
    };
    decision.event(
        stream(tenant, source),
        Event::InterDeploymentDependenciesRetargeted(event),
    );
}

/// Evaluates the functions that tell what a deployment depends on. Where they give nothing, or
/// no deployment, the target stays as it was.
///
/// # Errors
/// 400 for a function that cannot be evaluated, 409 when a target depends on the deployment;
/// database errors.
pub(crate) async fn found_anew(
    (view, opener): (&View, Opener<'_>),
    source: &Deployment,
) -> Result<Decision, Error> {
    let tenant = source.tenant_name.as_str();
    let mut decision = Decision::nothing();
    let mut open = of_source(view, tenant, Some(&source.id)).await?;
    open.retain(|one| one.target_deployment_func.is_some() && one.external_target.is_none());
    if open.is_empty() {
        return Ok(decision);
    }
    let mut calls = Vec::with_capacity(open.len());
    for one in &open {
        let function = object(one.target_deployment_func.as_ref())?;
        let part = |name: &str| function.get(name).cloned().unwrap_or_default();
        calls.push((part("function"), part("context")));
    }
    let found = deployments::each((view, opener), source, &calls).await?;
    let mut changes = Vec::new();
    let mut targets = BTreeSet::new();
    for (one, found) in open.into_iter().zip(found) {
        if let Some(change) = change(view, (tenant, one), &found).await? {
            targets.extend(change.target_deployment_id.clone());
            changes.push(change);
        }
    }
    if changes.is_empty() {
        return Ok(decision);
    }
    let of = (tenant, source.id.as_str());
    decision.rests_on(view, stream(of.0, Some(of.1))).await?;
    circles::refuse(view, &mut decision, of, &targets).await?;
    for target in &targets {
        // it must not go meanwhile
        let of_target = deployments::stream(tenant, target);
        decision.rests_on_once(view, of_target).await?;
        dependents::announced(&mut decision, (tenant, target), Some(&source.id));
    }
    retargeted(&mut decision, (of.0, Some(of.1)), changes, clock::now_ms());
    Ok(decision)
}

async fn change(
    view: &View,
    (tenant, one): (&str, InterDeploymentDependency),
    found: &Value,
) -> Result<Option<Retargeted>, Error> {
    let name = match found {
        Value::String(name) => name.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Ok(None),
    };
    if one.target_deployment_id.as_ref() == Some(&name)
        || !dependents::may_gain(view, (tenant, &name)).await?
    {
        return Ok(None);
    }
    Ok(Some(Retargeted {
        id: one.id,
        former_target: one.target_deployment_id,
        target_deployment_id: Some(name),
    }))
}
