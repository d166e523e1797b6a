//! Scalars, anchors and limits, as PyYAML reads them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Limits, load};

fn read(text: &str) -> Result<Value, String> {
    let file: Arc<str> = "test.yaml".into();
    load(text, &file, &Limits::default())
        .map(|node| serde_json::Value::from(node.to_value()))
        .map_err(|error| error.exception().name().to_owned())
}

#[test]
fn scalars_follow_yaml_1_1() {
    for (text, expected) in [
        ("yes", json!(true)),
        ("OFF", json!(false)),
        ("y", json!("y")),
        ("oN", json!("oN")),
        ("010", json!(8)),
        ("08", json!("08")),
        ("0o10", json!("0o10")),
        ("1:30", json!(90)),
        ("190:20:30", json!(685_230)),
        ("1_000", json!(1000)),
        ("-0x1F", json!(-31)),
        ("1e3", json!("1e3")),
        ("1.0e+3", json!(1000.0)),
        (".5", json!(0.5)),
        ("5.", json!(5.0)),
        ("1:30.5", json!(90.5)),
        ("~", Value::Null),
        ("NULL", Value::Null),
        ("nULL", json!("nULL")),
        ("2020-01-02", json!("2020-01-02")),
        ("2020-1-2", json!("2020-1-2")),
        (
            "2001-12-14t21:59:43.10-05:00",
            json!("2001-12-14T21:59:43.100000-05:00"),
        ),
        ("2001-12-15 2:59:43 Z", json!("2001-12-15T02:59:43+00:00")),
        ("'12'", json!("12")),
        ("!!str 12", json!("12")),
        ("!!int '12'", json!(12)),
    ] {
        assert_eq!(
            read(&format!("a: {text}")),
            Ok(json!({ "a": expected })),
            "{text}"
        );
    }
}

#[test]
fn texts_may_end_anywhere() {
    for (text, expected) in [
        ("a: |\n  text", json!({"a": "text"})),
        ("a: |\n  text\n", json!({"a": "text\n"})),
        ("a: |\n  text\n  ", json!({"a": "text\n"})),
        ("a: |\n  text\n   ", json!({"a": "text\n "})),
        ("a: |+\n  text", json!({"a": "text"})),
        ("a: |-\n  text", json!({"a": "text"})),
        ("a: >\n  x\n  y", json!({"a": "x y"})),
        ("| \n  : ", json!(": ")),
        ("a: plain", json!({"a": "plain"})),
    ] {
        assert_eq!(read(text), Ok(expected), "{text:?}");
    }
    for text in ["a: [!x,b]", "a: \"b\\", "a: '", "a: \"%"] {
        assert!(read(text).is_err(), "{text:?}");
    }
}

#[test]
fn merges_and_duplicates_resolve_like_the_reference() {
    let text = "
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
both: {<<: [*base, *other], a: 9}
twice: {a: 1, a: 2}
1: x
";
    assert_eq!(
        read(text).unwrap(),
        json!({
            "base": {"a": 1, "b": 2},
            "other": {"b": 3, "c": 4},
            "both": {"a": 9, "b": 2, "c": 4},
            "twice": {"a": 2},
            "1": "x",
        })
    );
}

#[test]
fn errors_keep_their_class() {
    for (text, class) in [
        ("a: [1", "DSLParsingFormatException"),
        ("a: 'x", "ScannerError"),
        ("a: *nobody", "ComposerError"),
        ("a: &a [*a]", "RecursionError"),
        ("a: =", "ConstructorError"),
        ("a: !thing 1", "ConstructorError"),
        ("a: 2020-02-31", "ValueError"),
        ("[1]: 2", "TypeError"),
        ("a: 1\n---\nb: 2", "ComposerError"),
        ("a: \u{e9}", "DSLParsingInputTypeException"),
    ] {
        assert_eq!(read(text).unwrap_err(), class, "{text}");
    }
}

#[test]
fn aliases_cannot_explode() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = level - 1;
        let items = vec![format!("*a{below}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert_eq!(read(&text).unwrap_err(), "MemoryError");
    let deep = format!("a: {}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(read(&deep).unwrap_err(), "RecursionError");
}
