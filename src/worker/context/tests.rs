//! Paths and merges.
#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::{Map, Value, json};

use super::{path, store::merge};

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn reads_by_path() {
    let properties = fields(json!({"a": {"b": [1, {"c": 2}]}, "x.y": 3, "n": null}));
    let cases = [
        ("a.b[1].c", Some(json!(2))),
        ("a.b[0]", Some(json!(1))),
        ("a", Some(json!({"b": [1, {"c": 2}]}))),
        ("n", Some(json!(null))),
        ("a.b[7]", None),
        ("a.c", None),
        ("a[0]", None),
        ("n.m", None),
        ("x.y", None),
        ("", None),
    ];
    for (text, expected) in cases {
        let found = path::get(&properties, text);
        match expected {
            Some(value) => assert_eq!(found.unwrap(), value, "{text}"),
            None => assert_eq!(
                found.unwrap_err().to_string(),
                format!("illegal path: {text}")
            ),
        }
    }
}

#[test]
fn sets_by_path() {
    let cases = [
        (json!({}), "a", Some(json!({"a": 1}))),
        (json!({}), "a.b.c", Some(json!({"a": {"b": {"c": 1}}}))),
        (
            json!({"l": [{}, {"x": 0}]}),
            "l[1].x",
            Some(json!({"l": [{}, {"x": 1}]})),
        ),
        (json!({"l": []}), "l[0].x", None),
        (json!({"s": "text"}), "s.t", None),
        (json!({}), "a[0]", Some(json!({"a[0]": 1}))),
    ];
    for (before, text, expected) in cases {
        let mut properties = fields(before);
        let done = path::set(&mut properties, text, json!(1));
        assert_eq!(done.is_ok(), expected.is_some(), "{text}");
        if let Some(expected) = expected {
            assert_eq!(Value::Object(properties), expected, "{text}");
        }
    }
}

#[test]
fn merges_unless_both_changed_the_same() {
    let base = json!({"a": 1, "b": 1, "c": 1});
    let cases = [
        // ours, theirs, merged
        (
            json!({"a": 2, "b": 1, "c": 1}),
            json!({"a": 1, "b": 2, "c": 1}),
            Some(json!({"a": 2, "b": 2, "c": 1})),
        ),
        (
            json!({"a": 1, "b": 1}),
            json!({"a": 5, "b": 1, "c": 1}),
            Some(json!({"a": 5, "b": 1})),
        ),
        (
            json!({"a": 2, "b": 1, "c": 1}),
            json!({"a": 2, "b": 1, "c": 1}),
            Some(json!({"a": 2, "b": 1, "c": 1})),
        ),
        (
            json!({"a": 2, "b": 1, "c": 1}),
            json!({"a": 3, "b": 1, "c": 1}),
            None,
        ),
        (
            json!({"a": 2, "b": 1, "c": 1}),
            json!({"b": 1, "c": 1}),
            None,
        ),
        (
            json!({"a": 1, "b": 1, "c": 1, "n": 1}),
            json!({"a": 1, "b": 1, "c": 1, "n": 2}),
            None,
        ),
        (
            json!({"a": 1, "b": 1, "c": 1, "n": 1}),
            json!({}),
            Some(json!({"n": 1})),
        ),
    ];
    for (ours, theirs, expected) in cases {
        let merged = merge(
            &fields(base.clone()),
            &fields(ours.clone()),
            &fields(theirs.clone()),
        );
        assert_eq!(merged.map(Value::Object), expected, "{ours} {theirs}");
    }
}
