//! What a deployment offers, evaluated at the moment the reader looks at.
use std::collections::HashMap;

use serde_json::{Map, Value};
use stratalog_projections::views::{Json, deployments::Deployment};

use super::storage::Known;
use crate::{
    commands::secrets::Opener,
    dsl::{
        self, DslError, Exception,
        functions::{self, Context},
    },
    error::{Error, ErrorCode},
    store::View,
};

/// The outputs of a deployment.
///
/// # Errors
/// 400 when a function cannot be evaluated; database errors.
pub async fn outputs(
    (view, opener): (&View, Opener<'_>),
    deployment: &Deployment,
) -> Result<Map<String, Value>, Error> {
    let raw = object(&deployment.outputs)?;
    let mut known = Known::read(view, deployment).await?;
    known
        .evaluate((view, opener), 0, &|storage| {
            functions::evaluate_outputs(storage, &raw)
        })
        .await?
        .map(Into::into)
        .map_err(|error| refuse(ErrorCode::OutputsEvaluation, &error))
}

/// The capabilities of a deployment.
///
/// # Errors
/// 400 when a function cannot be evaluated; database errors.
pub async fn capabilities(
    (view, opener): (&View, Opener<'_>),
    deployment: &Deployment,
) -> Result<Map<String, Value>, Error> {
    let raw = object(&deployment.capabilities)?;
    let mut known = Known::read(view, deployment).await?;
    known
        .evaluate((view, opener), 0, &|storage| {
            functions::evaluate_capabilities(storage, &raw)
        })
        .await?
        .map(Into::into)
        .map_err(|error| refuse(ErrorCode::CapabilitiesEvaluation, &error))
}

/// Every function in a payload, on behalf of the instances the context names.
///
/// # Errors
/// 400 when a function cannot be evaluated; database errors.
pub async fn functions(
    (view, opener): (&View, Opener<'_>),
    deployment: &Deployment,
    (payload, context): (&Value, &Value),
) -> Result<Value, Error> {
    let context = Context::from_json(&context.into());
    let payload = dsl::Value::from(payload);
    let mut known = Known::read(view, deployment).await?;
    known
        .evaluate((view, opener), 0, &|storage| {
            functions::evaluate_runtime(storage, &payload, &context)
        })
        .await?
        .map(Into::into)
        .map_err(|error| refuse(ErrorCode::FunctionsEvaluation, &error))
}

/// Several functions of one deployment, each on behalf of the instances its context names.
///
/// # Errors
/// 400 when one cannot be evaluated; database errors.
pub(crate) async fn each(
    (view, opener): (&View, Opener<'_>),
    deployment: &Deployment,
    calls: &[(Value, Value)],
) -> Result<Vec<Value>, Error> {
    let mut known = Known::read(view, deployment).await?;
    let mut found = Vec::with_capacity(calls.len());
    for (function, context) in calls {
        let context = Context::from_json(&context.into());
        // calls are looked for within a payload: it is none itself
        let payload = dsl::Value::from([dsl::Value::from(function)].as_slice());
        let value = known
            .evaluate((view, opener), 0, &|storage| {
                functions::evaluate_runtime(storage, &payload, &context)
            })
            .await?
            .map_err(|error| refuse(ErrorCode::FunctionsEvaluation, &error))?;
        let value = value.as_array().and_then(|values| values.first()).cloned();
        found.push(value.unwrap_or_default().into());
    }
    Ok(found)
}

/// Nodes of any deployments with the functions in their properties evaluated, on behalf of an
/// instance where one is given. They gain the member `name`.
///
/// # Errors
/// 400 when a function cannot be evaluated; database errors.
pub async fn nodes(
    (view, opener): (&View, Opener<'_>),
    nodes: Vec<Value>,
    instance: Option<&str>,
) -> Result<Vec<Value>, Error> {
    let text = |node: &Value, key: &str| {
        let found = node.get(key).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let mut known: HashMap<(String, String), Known> = HashMap::new();
    let mut evaluated = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let of = (text(node, "tenant_name"), text(node, "deployment_id"));
        if !known.contains_key(&of) {
            let deployment = super::load(view, &of.0, &of.1).await?;
            known.insert(of.clone(), Known::read(view, &deployment).await?);
        }
        let Some(deployment) = known.get_mut(&of) else {
            continue;
        };
        let node = dsl::Value::from(node);
        let outcome = deployment
            .evaluate((view, opener), 0, &|storage| {
                functions::evaluate_node(storage, &node, instance)
            })
            .await?;
        let mut node = outcome.map_err(|error| refuse(ErrorCode::FunctionsEvaluation, &error))?;
        let name = node.get("id").cloned();
        if let (Some(members), Some(name)) = (node.as_object_mut(), name) {
            members.insert("name", name);
        }
        evaluated.push(node.into());
    }
    Ok(evaluated)
}

/// A node instance with the functions in its runtime properties evaluated.
///
/// # Errors
/// 400 when a function cannot be evaluated; database errors.
pub async fn instance(
    (view, opener): (&View, Opener<'_>),
    tenant: &str,
    instance: &Value,
) -> Result<Value, Error> {
    let id = instance.get("deployment_id").and_then(Value::as_str);
    let deployment = super::load(view, tenant, id.unwrap_or_default()).await?;
    let mut known = Known::read(view, &deployment).await?;
    let instance = dsl::Value::from(instance);
    known
        .evaluate((view, opener), 0, &|storage| {
            functions::evaluate_node_instance(storage, &instance)
        })
        .await?
        .map(Into::into)
        .map_err(|error| refuse(ErrorCode::FunctionsEvaluation, &error))
}

fn object(json: &Option<Json>) -> Result<dsl::Map, Error> {
    match json {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal),
        None => Ok(dsl::Map::new()),
    }
}

fn refuse(code: ErrorCode, error: &DslError) -> Error {
    let code = match error.exception() {
        Exception::UnknownSecret => ErrorCode::UnknownDeploymentSecret,
        _ => code,
    };
    Error::refused(code, error.to_string())
}
