//! Dependencies that functions in plans make: whoever asks a deployment for a capability depends on
//! it.
use std::collections::HashMap;

use serde_json::{Map, Value};
use stratalog_projections::views::{
    deployments::Deployment,
    inter_deployment_dependencies::{COMPONENT, InterDeploymentDependency, SHARED_RESOURCE},
};

use super::{NewDependency, change::Batch, deployment as existing, of_source, taken_away};
use crate::{
    commands::own_execution,
    dsl::{self, Plan},
    error::Error,
    store::{Decision, View},
};

/// How the creators end that are places of a function.
pub(super) const FUNCTION: &str = ".get_capability";

/// What the functions of a prepared plan depend on.
fn of_plan(plan: &Plan) -> Vec<NewDependency> {
    let functions = plan.section("inter_deployment_functions");
    let functions = functions.and_then(dsl::Value::as_array);
    functions
        .into_iter()
        .flatten()
        .map(|function| {
            let target = function.get("target_deployment");
            let part = |at: usize| target.and_then(|target| target.as_array()?.get(at));
            let name = match part(0) {
                None | Some(dsl::Value::Null) => None,
                Some(dsl::Value::String(name)) => Some(name.as_ref().to_owned()),
                Some(other) => Some(other.to_string()),
            };
            let identifier = function.get("function_identifier");
            let identifier = identifier.and_then(dsl::Value::as_str);
            NewDependency {
                dependency_creator: identifier.unwrap_or_default().to_owned(),
                target_deployment_func: name.is_none().then(|| {
                    let context = function.get("context").cloned().unwrap_or_default();
                    let expression = part(1).cloned().unwrap_or_default();
                    function_of(&expression.into(), &context.into())
                }),
                target_deployment: name,
                ..NewDependency::default()
            }
        })
        .collect()
}

fn function_of(expression: &Value, context: &Value) -> Map<String, Value> {
    let mut function = Map::new();
    function.insert("function".to_owned(), expression.clone());
    function.insert("context".to_owned(), context.clone());
    function
}

/// Adds to a decision what a prepared plan changes of a deployment's dependencies: those that
/// functions of a former plan made give way to those of this one; the same again changes nothing.
/// What components, shared resources and people recorded stays.
///
/// # Errors
/// 409 when a target depends on the deployment; database errors.
pub(crate) async fn replaced_by_plan(
    view: &View,
    decision: &mut Decision,
    (deployment, plan): (&Deployment, &Plan),
) -> Result<(), Error> {
    let tenant = deployment.tenant_name.as_str();
    let mut new = of_plan(plan);
    let mut gone = Vec::new();
    for former in of_source(view, tenant, Some(&deployment.id)).await? {
        if !is_from_plan(&former.dependency_creator) {
            continue;
        }
        match new.iter().position(|new| is_same(&former, new)) {
            Some(at) => drop(new.swap_remove(at)),
            None => gone.push(former),
        }
    }
    let of = (tenant, Some(deployment.id.as_str()));
    if !gone.is_empty() {
        decision.rests_on(view, super::stream(of.0, of.1)).await?;
    }
    taken_away(decision, of, gone);
    add(view, decision, (deployment, new)).await
}

async fn add(
    view: &View,
    decision: &mut Decision,
    (deployment, mut new): (&Deployment, Vec<NewDependency>),
) -> Result<(), Error> {
    let tenant = deployment.tenant_name.as_str();
    let mut known = HashMap::new();
    for one in &mut new {
        let Some(name) = one.target_deployment.clone() else {
            continue;
        };
        if !known.contains_key(&name) {
            let found = existing(view, tenant, &name).await?;
            known.insert(name.clone(), found.is_some());
        }
        // what does not exist yet is looked for again, as what a function tells
        if known.get(&name) == Some(&false) {
            let context = Value::Object(Map::new());
            one.target_deployment_func = Some(function_of(&name.into(), &context));
        }
    }
    let batch = Batch::of_deployment(deployment);
    let new: Vec<_> = new
        .iter()
        .map(|new| (own_execution::new_id(), new))
        .collect();
    batch.add(view, decision, &new).await
}

fn is_from_plan(creator: &str) -> bool {
    let is_of_node = [COMPONENT, SHARED_RESOURCE]
        .iter()
        .any(|start| creator.starts_with(start));
    !is_of_node && creator.ends_with(FUNCTION)
}

fn is_same(former: &InterDeploymentDependency, new: &NewDependency) -> bool {
    let function = former.target_deployment_func.as_ref();
    let function = function.and_then(|json| serde_json::from_str::<Value>(json.get()).ok());
    let is_same_target = match (&function, &new.target_deployment) {
        (None, name) => former.target_deployment_id == *name,
        (Some(function), Some(name)) => function.get("function") == Some(&name.as_str().into()),
        (Some(_), None) => function == new.target_deployment_func.clone().map(Value::Object),
    };
    former.dependency_creator == new.dependency_creator && is_same_target
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn creators_tell_what_a_plan_made() {
        for (creator, expected) in [
            ("nodes.a.properties.x.get_capability", true),
            ("outputs.x.value.get_capability", true),
            ("component.get_capability", false),
            ("sharedresource.a_1.get_capability", false),
            ("component.a_1", false),
            ("by hand", false),
        ] {
            assert_eq!(is_from_plan(creator), expected, "{creator}");
        }
    }

    #[test]
    fn a_target_is_a_name_or_a_function() {
        let plan: dsl::Map = serde_json::from_value(json!({"inter_deployment_functions": [
            {"function_identifier": "a.get_capability", "target_deployment": ["dep", "dep"],
             "context": {}},
            {"function_identifier": "b.get_capability",
             "target_deployment": [null, {"get_attribute": ["SELF", "x"]}],
             "context": {"self": "node_1"}},
        ]}))
        .unwrap();
        let found = of_plan(&Plan::new(plan));
        let names: Vec<_> = found
            .iter()
            .map(|new| new.target_deployment.as_deref())
            .collect();
        assert_eq!(names, [Some("dep"), None]);
        assert!(found[0].target_deployment_func.is_none());
        let function = found[1].target_deployment_func.clone().map(Value::Object);
        let expected = json!({"function": {"get_attribute": ["SELF", "x"]},
            "context": {"self": "node_1"}});
        assert_eq!(function, Some(expected));
    }
}
