//! Parameters, availability and transitions, without any database.
#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::{Map, Value, json};

use super::{available::fits, parameters::merge};

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

#[test]
fn availability_follows_the_states_of_instances() {
    let cases: [(&[&str], [bool; 3]); 5] = [
        (&[], [true, false, true]),
        (&["started"], [true, false, false]),
        (&["started", "deleted"], [false, true, false]),
        (&["uninitialized", "deleted"], [false, false, true]),
        (&["creating"], [false, true, true]),
    ];
    for (states, expected) in cases {
        let states: Vec<String> = states.iter().map(|s| (*s).to_owned()).collect();
        let got = ["all", "partial", "none"].map(|rule| fits(rule, &states));
        assert_eq!(got, expected, "{states:?}");
    }
}
