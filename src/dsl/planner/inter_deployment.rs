//! Which capabilities of other deployments a plan uses, and on whose behalf.

use std::collections::HashMap;

use crate::dsl::value::{Map, Value, object};

use crate::dsl::Plan;
use crate::dsl::functions::{Place, Scope, capability_calls};

/// One entry for each call of `get_capability` and each instance it is made for.
pub(super) fn find((plan, places): (&Plan, &[Place]), node_instances: &[Value]) -> Vec<Value> {
    let mut of_node: HashMap<&str, Vec<&Value>> = HashMap::new();
    for instance in node_instances {
        if let Some(node) = instance.get("node_id").and_then(Value::as_str) {
            of_node.entry(node).or_default().push(instance);
        }
    }
    let none = Vec::new();
    let mut found = Vec::new();
    for place in places {
        let Some(value) = place.value(plan) else {
            continue;
        };
        for (path, deployment) in capability_calls(value, &place.path) {
            let contexts: Vec<Value> = match &place.scope {
                Scope::Section(_) | Scope::Runtime(_) => vec![Value::Object(Map::new())],
                Scope::Node(own) => of_node
                    .get(&*own.node)
                    .unwrap_or(&none)
                    .iter()
                    .map(|instance| Value::Object(object! {"self": instance.get("id")}))
                    .collect(),
                Scope::Relationship { source, target } => of_node
                    .get(&*source.node)
                    .unwrap_or(&none)
                    .iter()
                    .map(|instance| {
                        let kind = place.relationship.as_deref().unwrap_or_default();
                        relationship_context(instance, kind, &target.node)
                    })
                    .collect(),
            };
            let name = if deployment.is_string() || deployment.is_number() {
                deployment.clone()
            } else {
                Value::Null
            };
            found.extend(contexts.into_iter().map(|context| {
                Value::Object(object! {
                    "function_identifier": path.as_str(),
                    "target_deployment": Value::from([&name, &deployment]),
                    "context": context,
                })
            }));
        }
    }
    found
}

/// The source instance and the first target it has this relationship with.
fn relationship_context(instance: &Value, kind: &str, target: &str) -> Value {
    let relationships = instance.get("relationships").and_then(Value::as_array);
    let first = relationships.into_iter().flatten().find(|relationship| {
        relationship.get("type").and_then(Value::as_str) == Some(kind)
            && relationship.get("target_name").and_then(Value::as_str) == Some(target)
    });
    let mut context = Map::new();
    let id = instance.get("id").cloned().unwrap_or_default();
    context.insert("self", id.clone());
    context.insert("source", id);
    if let Some(target) = first.and_then(|relationship| relationship.get("target_id")) {
        context.insert("target", target.clone());
    }
    Value::Object(context)
}
