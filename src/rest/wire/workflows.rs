//! Workflows of deployments, with whether they can be started now.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName, views::deployments::Deployment,
};

use crate::{commands::executions::Surroundings, error::Error, store::View};

/// The workflows a deployment has; nothing before its environment is made.
pub(in crate::rest) async fn of_deployment(
    view: &View,
    deployment: &Deployment,
) -> Result<Option<Vec<Value>>, Error> {
    let Some(workflows) = &deployment.workflows else {
        return Ok(None);
    };
    let specs: Map<String, Value> =
        serde_json::from_str(workflows.get()).map_err(Error::internal)?;
    let all = specs.values().filter_map(Value::as_object);
    let surroundings = Surroundings::read(view, deployment, all).await?;
    let admitted = |spec: &Value| spec.as_object().is_none_or(|spec| surroundings.admit(spec));
    Ok(Some(
        specs
            .iter()
            .map(|(name, spec)| document(name, spec, admitted(spec)))
            .collect(),
    ))
}

/// Workflows of the deployments a query admits, by name: of any of them, or those that all of them
/// have. Those of a blueprint have the same, so the first of each blueprint stands for all.
pub(in crate::rest) async fn of_all(
    view: &View,
    query: &ListQuery,
    is_common: bool,
) -> Result<Vec<Value>, Error> {
    let of_blueprint = ["tenant_name", "blueprint_id"];
    let keys = view.firsts(query, &of_blueprint).await?;
    let sampled =
        ListQuery::all(ViewName::Deployments, Scope::Everything).with(Condition::Keys(keys));
    let sampled: Vec<Deployment> = view.select_as(&sampled).await?;
    let mut found: BTreeMap<String, (Value, usize)> = BTreeMap::new();
    for deployment in &sampled {
        for workflow in of_deployment(view, deployment).await?.unwrap_or_default() {
            let name = workflow.get("name").and_then(Value::as_str);
            let name = name.unwrap_or_default().to_owned();
            found.entry(name).or_insert((workflow, 0)).1 += 1;
        }
    }
    let is_wanted = |number: usize| !is_common || number == sampled.len();
    Ok(found
        .into_values()
        .filter(|(_, number)| is_wanted(*number))
        .map(|(workflow, _)| workflow)
        .collect())
}

/// A workflow as clients see it.
pub(in crate::rest) fn document(name: &str, spec: &Value, is_available: bool) -> Value {
    let member = |key: &str| spec.get(key).cloned().unwrap_or(Value::Null);
    json!({
        "name": name,
        "plugin": member("plugin"),
        "operation": member("operation"),
        "parameters": member("parameters"),
        "is_cascading": spec.get("is_cascading").cloned().unwrap_or(Value::Bool(false)),
        "is_available": is_available,
        "availability_rules": member("availability_rules"),
    })
}
