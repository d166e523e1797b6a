//! The version rule and what follows from system properties.
use serde_json::{Value, json, value::RawValue};
use stratalog_projections::views::{Json, node_instances::NodeInstance};

use super::{UpdateNodeInstance, decide, flags};

fn raw(value: &Value) -> Json {
    RawValue::from_string(value.to_string()).unwrap()
}

fn instance() -> NodeInstance {
    serde_json::from_value(json!({
        "id": "db_1", "host_id": null, "index": 1, "relationships_p": null, "relationships": [],
        "runtime_properties_p": null, "runtime_properties": {"a": 1, "b": [true]},
        "system_properties": {}, "scaling_groups_p": null, "scaling_groups": [],
        "state": "started", "version": 7, "has_configuration_drift": false,
        "is_status_check_ok": false, "node_id": "db", "deployment_id": "dep",
        "visibility": "tenant", "tenant_name": "t", "created_by": "u",
        "resource_availability": "tenant", "private_resource": false,
    }))
    .unwrap()
}

fn change(version: i64) -> UpdateNodeInstance {
    UpdateNodeInstance {
        version,
        ..UpdateNodeInstance::default()
    }
}

#[test]
fn an_older_version_conflicts_unless_forced() {
    let mut change = change(6);
    change.state = Some("stopped".to_owned());
    let refusal = decide(&instance(), &change).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "Node instance update conflict [current version=7, update version=6]"
    );
    change.force = true;
    let event = decide(&instance(), &change).unwrap().unwrap();
    assert_eq!(
        (event.version, event.state.as_deref()),
        (8, Some("stopped"))
    );
}

#[test]
fn a_newer_version_is_taken_and_counted_on_from_the_stored_one() {
    let mut change = change(99);
    change.runtime_properties = Some(raw(&json!({"only": "this"})));
    let event = decide(&instance(), &change).unwrap().unwrap();
    assert_eq!(event.version, 8);
    assert_eq!(
        event.runtime_properties_json.as_deref(),
        Some(r#"{"only":"this"}"#)
    );
}

#[test]
fn what_says_the_same_changes_nothing() {
    let mut change = change(7);
    change.state = Some("started".to_owned());
    let reordered = r#"{ "b": [true], "a": 1 }"#.to_owned();
    change.runtime_properties = Some(RawValue::from_string(reordered).unwrap());
    assert_eq!(decide(&instance(), &change).unwrap(), None);
}

#[test]
fn checks_show_in_the_flags() {
    for (properties, expected) in [
        (json!({}), (false, false)),
        (json!({"status": {"ok": true}}), (true, false)),
        (json!({"status": {"ok": false}}), (false, false)),
        (
            json!({"configuration_drift": {"ok": true, "result": null}}),
            (false, false),
        ),
        (
            json!({"configuration_drift": {"ok": true, "result": ["x"]}}),
            (false, true),
        ),
        (
            json!({"configuration_drift": {"ok": false, "result": null}}),
            (false, true),
        ),
        (
            json!({"target_relationships_configuration_drift": {"r": {"ok": false}}}),
            (false, true),
        ),
    ] {
        assert_eq!(flags(&properties), expected, "{properties}");
    }
    let mut change = change(7);
    change.system_properties = Some(raw(&json!({"status": {"ok": true}})));
    let event = decide(&instance(), &change).unwrap().unwrap();
    assert_eq!(
        (event.is_status_check_ok, event.has_configuration_drift),
        (Some(true), None)
    );
}
