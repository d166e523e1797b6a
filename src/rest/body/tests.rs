//! What clients are told about their bodies.
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only its parsing is looked at")]
struct Example {
    blueprint_id: String,
    #[serde(default)]
    inputs: Option<serde_json::Map<String, Value>>,
    #[serde(default, deserialize_with = "flag")]
    force: bool,
    #[serde(default)]
    labels: Option<Vec<String>>,
    #[serde(default)]
    retries: Option<i64>,
}

fn refused(body: &str) -> String {
    parse::<Example>(body.as_bytes()).unwrap_err().to_string()
}

#[test]
fn refusals_read_as_clients_know_them() {
    for (body, message) in [
        (r"{}", "Missing blueprint_id in json request body"),
        (
            r#"{"blueprint_id": 5}"#,
            "blueprint_id parameter is expected to be of type str but is of type int",
        ),
        (
            r#"{"blueprint_id": null}"#,
            "blueprint_id parameter is expected to be of type str but is of type NoneType",
        ),
        (
            r#"{"blueprint_id": "b", "inputs": []}"#,
            "inputs parameter is expected to be of type dict but is of type list",
        ),
        (
            r#"{"blueprint_id": "b", "labels": {}}"#,
            "labels parameter is expected to be of type list but is of type dict",
        ),
        (
            r#"{"blueprint_id": "b", "retries": "x"}"#,
            "retries parameter is expected to be of type int but is of type str",
        ),
        (
            r#"{"blueprint_id": "b", "labels": [1]}"#,
            "labels[0] parameter is expected to be of type str but is of type int",
        ),
        (
            r"[]",
            "The request body is expected to be of type dict but is of type list",
        ),
    ] {
        assert_eq!(refused(body), message, "{body}");
    }
    assert!(refused("{").starts_with("The request body is no JSON"));
    assert!(refused(r#"{"blueprint_id": "b", "force": 3}"#).contains("expected true or false"));
}

#[test]
fn null_is_absent_and_words_are_flags() {
    let body = r#"{"blueprint_id": "b", "inputs": null, "force": "True", "labels": null}"#;
    let example: Example = parse(body.as_bytes()).unwrap();
    assert!(example.force && example.inputs.is_none());
}
