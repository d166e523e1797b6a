//! When workflows can be started.
use serde_json::{Value, json};

use super::State;

fn check(states: &[&str], types: &[&str], rules: Value, expected: bool) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let state = State {
        instance_states: owned(states),
        node_types: owned(types),
    };
    let spec = json!({ "availability_rules": rules });
    assert_eq!(
        state.admits(&spec),
        expected,
        "{states:?} {types:?} {rules}"
    );
}

#[test]
fn rules_look_at_instances_and_types() {
    let active = |rule: &str| json!({ "node_instances_active": [rule] });
    check(&[], &[], Value::Null, true);
    check(&[], &[], json!({ "available": false }), false);
    check(&[], &[], active("all"), true);
    check(&[], &[], active("partial"), false);
    check(&[], &[], active("none"), true);
    check(&["started"], &[], active("all"), true);
    check(&["started"], &[], active("none"), false);
    check(&["started", "stopped"], &[], active("partial"), true);
    check(&["uninitialized"], &[], active("partial"), false);
    check(&["uninitialized"], &[], active("all"), false);
    let types = json!({ "node_types_required": ["a.B", "c.D"] });
    check(&[], &["x.Y", "c.D"], types.clone(), true);
    check(&[], &["x.Y"], types, false);
}
