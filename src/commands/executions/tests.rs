//! Parameters, availability and transitions, without any database.
#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::{Map, Value, json};

use super::{available::Surroundings, parameters::merge};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn merged(declared: Value, given: Value, allow_custom: bool) -> Result<Value, String> {
    merge("w", &map(declared), &map(given), allow_custom)
        .map(Value::Object)
        .map_err(|error| error.to_string())
}

#[test]
fn given_parameters_come_first_and_defaults_after_them() {
    let declared = json!({"a": {"default": 1}, "b": {"default": [], "type": "list"}, "c": {}});
    let merged = merged(declared, json!({"c": "x", "a": 5}), false).unwrap();
    assert_eq!(merged.to_string(), r#"{"c":"x","a":5,"b":[]}"#);
}

#[test]
fn undeclared_and_missing_parameters_are_refused_in_the_words_clients_know() {
    assert_eq!(
        merged(json!({}), json!({"node_id": "db"}), false).unwrap_err(),
        "Workflow \"w\" does not have the following parameters declared: node_id. Remove these \
         parameters or use the flag for allowing custom parameters"
    );
    assert_eq!(
        merged(json!({}), json!({"x": 1}), true).unwrap(),
        json!({"x": 1})
    );
    assert_eq!(
        merged(json!({"a": {}, "b": {"required": false}}), json!({}), false).unwrap_err(),
        "Workflow \"w\" must be provided with the following parameters to execute: a"
    );
}

#[test]
fn values_are_fitted_to_their_declared_types() {
    let cases = [
        ("integer", json!("5"), Some(json!(5))),
        ("integer", json!("x"), None),
        ("integer", json!(1.5), None),
        ("float", json!("1.5"), Some(json!(1.5))),
        ("boolean", json!("True"), Some(json!(true))),
        ("boolean", json!("yes"), None),
        ("string", json!(5), Some(json!("5"))),
        ("string", json!({}), None),
        ("list", json!("[a"), Some(json!(["[", "a"]))),
        ("list", json!(5), None),
        ("node_id", json!("db"), Some(json!("db"))),
    ];
    for (declared, given, expected) in cases {
        let schema = json!({"a": {"type": declared}});
        let got = merged(schema, json!({"a": given}), false);
        match expected {
            Some(value) => assert_eq!(got.unwrap(), json!({"a": value}), "{declared} {given}"),
            None => assert_eq!(
                got.unwrap_err(),
                format!("Parameter \"a\" must be of type {declared}")
            ),
        }
    }
}

#[test]
fn constraints_of_parameters_hold() {
    let schema = json!({"a": {"type": "integer", "constraints": [{"greater_than": 3}]}});
    assert!(merged(schema.clone(), json!({"a": 5}), false).is_ok());
    let refused = merged(schema, json!({"a": 2}), false).unwrap_err();
    assert!(
        refused.starts_with("Parameter \"a\" does not meet its constraints"),
        "{refused}"
    );
}

fn admitted(states: &[&str], types: &[&str], rules: Value, expected: bool) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let surroundings = Surroundings {
        instance_states: owned(states),
        node_types: owned(types),
    };
    let spec = map(json!({ "availability_rules": rules }));
    assert_eq!(
        surroundings.admit(&spec),
        expected,
        "{states:?} {types:?} {rules}"
    );
}

#[test]
fn availability_follows_the_states_of_the_instances() {
    for (states, expected) in [
        (&[][..], [true, false, true]),
        (&["uninitialized"], [false, false, true]),
        (&["deleted", "uninitialized"], [false, false, true]),
        (&["started"], [true, false, false]),
        (&["started", "deleted"], [false, true, false]),
        (&["creating"], [false, true, true]),
    ] {
        for (rule, expected) in ["all", "partial", "none"].into_iter().zip(expected) {
            let rules = json!({ "node_instances_active": [rule] });
            admitted(states, &[], rules, expected);
        }
    }
}

#[test]
fn availability_follows_the_types_of_the_nodes_and_the_switch() {
    admitted(&[], &[], Value::Null, true);
    admitted(&[], &[], json!({ "available": false }), false);
    let types = json!({ "node_types_required": ["a.B", "c.D"] });
    admitted(&[], &["x.Y", "c.D"], types.clone(), true);
    admitted(&[], &["x.Y"], types, false);
}
