//! Labels as clients write them.
use serde_json::{Value, json};

use super::parse;

fn pairs(labels: &Value) -> Result<Vec<(String, String)>, String> {
    let labels = parse(labels).map_err(|error| error.to_string())?;
    Ok(labels
        .into_iter()
        .map(|label| (label.key, label.value))
        .collect())
}

fn check(labels: Value, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(pairs(&labels).as_ref(), Ok(&expected), "{labels}");
}

fn refuse(labels: Value, words: &str) {
    let refusal = pairs(&labels).unwrap_err();
    assert!(refusal.contains(words), "{labels}: {refusal}");
}

#[test]
fn both_forms_are_read() {
    check(json!([]), &[]);
    check(json!([{"Env": "Prod"}]), &[("env", "Prod")]);
    check(json!([{"a": ["x", "y"]}]), &[("a", "x"), ("a", "y")]);
    check(
        json!([{"key": "k", "value": "v", "created_at": "2026-01-01T00:00:00Z"}]),
        &[("k", "v")],
    );
    check(
        json!([{"csys-obj-type": "Environment"}]),
        &[("csys-obj-type", "environment")],
    );
}

#[test]
fn everything_else_is_refused() {
    refuse(json!({"a": "b"}), "1-entry dictionaries");
    refuse(json!([{"a": "b", "c": "d"}]), "1-entry dictionaries");
    refuse(json!([{"a": 1}]), "1-entry dictionaries");
    refuse(json!([{"a": "b"}, {"A": "b"}]), "same label twice");
    refuse(json!([{"a b": "c"}]), "illegal characters");
    refuse(json!([{"a": "x\"y"}]), "illegal characters");
    refuse(json!([{"csys-mine": "x"}]), "reserved");
    refuse(json!([{"csys-location-lat": "91"}]), "between");
    refuse(
        json!([{"key": "k", "value": "v", "created_at": "yesterday"}]),
        "not a time",
    );
}
