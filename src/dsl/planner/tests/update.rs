//! The steps of an update.

use crate::dsl::value::{Value, json};

use super::{node, plan};
use crate::dsl::Plan;
use crate::dsl::planner::{UpdateStep, update_steps};

fn typed(mut node: Value, kind: &str, properties: Value) -> Value {
    node["type"] = json!(kind);
    node["properties"] = properties;
    node
}

fn brief(steps: &[UpdateStep]) -> Vec<String> {
    let written = steps.iter().map(|step| {
        let json = serde_json::to_value(step).unwrap();
        let supported = if step.is_supported {
            ""
        } else {
            "unsupported "
        };
        format!(
            "{supported}{} {} {}",
            json["action"].as_str().unwrap(),
            json["entity_type"].as_str().unwrap(),
            step.entity_id.join(":")
        )
    });
    written.collect()
}

fn steps(old: Value, new: Value) -> Vec<String> {
    brief(&update_steps(&plan(old), &plan(new)).unwrap())
}

#[test]
fn nothing_changes_nothing() {
    let same = json!({"nodes": [node("a", 1, &[])], "outputs": {"o": {"value": 1}}});
    assert!(steps(same.clone(), same).is_empty());
    assert!(
        update_steps(&Plan::default(), &Plan::default())
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_goes_comes_first_and_targets_before_sources() {
    let old = json!({
        "nodes": [
            typed(node("a", 1, &[("all_to_all", "gone")]), "t", json!({"p": 1, "q": 1})),
            node("gone", 1, &[]),
        ],
        "outputs": {"o": {"value": 1}, "old": {"value": 1}},
        "description": null,
    });
    let new = json!({
        "nodes": [
            typed(node("a", 1, &[("all_to_all", "y")]), "t", json!({"p": 2, "r": 1})),
            node("x", 1, &[("all_to_all", "y")]),
            node("y", 1, &[]),
        ],
        "outputs": {"o": {"value": 2}, "new": {"value": 1}},
        "workflows": {"w": {}},
        "description": "now",
    });
    assert_eq!(
        steps(old, new),
        [
            "remove property nodes:a:properties:q",
            "remove relationship nodes:a:relationships:[0]",
            "remove output outputs:old",
            "remove node nodes:gone",
            "add node nodes:y",
            "add node nodes:x",
            "add property nodes:a:properties:r",
            "add relationship nodes:a:relationships:[0]",
            "add output outputs:new",
            "add workflow workflows:w",
            "add description description",
            "modify property nodes:a:properties:p",
            "modify output outputs:o",
        ]
    );
}

#[test]
fn moved_relationships_and_their_operations_are_found() {
    let relationships = |first: &str, second: &str, inputs: Value| {
        let mut a = node("a", 1, &[("all_to_all", first), ("all_to_all", second)]);
        let at = usize::from(first != "b");
        a["relationships"][at]["source_operations"] = json!({"establish": {"inputs": inputs}});
        json!({"nodes": [a, node("b", 1, &[]), node("c", 1, &[])]})
    };
    assert_eq!(
        steps(
            relationships("b", "c", json!(1)),
            relationships("c", "b", json!(2))
        ),
        [
            "modify relationship nodes:a:relationships:[0]:[1]",
            "modify operation nodes:a:relationships:[1]:source_operations:establish",
            "modify relationship nodes:a:relationships:[1]:[0]",
        ]
    );
}

#[test]
fn some_changes_cannot_be_followed() {
    let one = |mut a: Value, properties: Value, groups: Value| {
        if let Some(relationship) = a["relationships"].get_mut(0) {
            relationship["properties"]["x"] = properties;
        }
        json!({"nodes": [a, node("b", 1, &[]), node("c", 1, &[])], "groups": groups})
    };
    let within = |container: &str| node("a", 1, &[("contained_in", container)]);
    let none = || json!({});
    assert_eq!(
        steps(
            one(typed(within("b"), "t", none()), Value::Null, none()),
            one(typed(within("b"), "u", none()), Value::Null, none()),
        ),
        ["unsupported modify node nodes:a"]
    );
    assert_eq!(
        steps(
            one(within("b"), Value::Null, none()),
            one(within("c"), Value::Null, none())
        ),
        ["unsupported modify relationship nodes:a:relationships:[0]"]
    );
    assert_eq!(
        steps(
            one(node("a", 1, &[]), Value::Null, none()),
            one(within("c"), Value::Null, none())
        ),
        ["unsupported modify relationship nodes:a:relationships:[0]"]
    );
    assert_eq!(
        steps(
            one(within("b"), json!(1), none()),
            one(within("b"), json!(2), none())
        ),
        ["unsupported modify relationship nodes:a:relationships:[0]"]
    );
    let grouped = one(within("b"), json!(1), json!({"g": {"members": ["a"]}}));
    assert_eq!(
        steps(one(within("b"), json!(1), none()), grouped),
        ["unsupported add group groups:g"]
    );
}
