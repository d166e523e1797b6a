//! Tests of constraints: their definitions, and the values they admit.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::dsl::value::{Map, Value, json};

use super::*;
use crate::dsl::{DslError, Exception, Plan};

/// Knows some names of every type.
#[derive(Default)]
struct Names {
    blueprint: bool,
    deployment: bool,
}

impl ValuesGetter for Names {
    fn has_blueprint_id(&self) -> bool {
        self.blueprint
    }

    fn has_deployment_id(&self) -> bool {
        self.deployment
    }

    fn get(&self, declared: &str, _: &Value, query: &Map) -> Result<Vec<Value>, DslError> {
        let mut known = vec![json!(format!("a-{declared}"))];
        if query.is_empty() {
            known.push(json!(format!("b-{declared}")));
        }
        Ok(known)
    }
}

fn holds(constraint: Value, value: Value) -> bool {
    let schema = json!({"constraints": [constraint]});
    match check_value("i", &schema, &value, None) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.exception(), Exception::Constraint, "{error}");
            false
        }
    }
}

#[test]
fn operators_compare_as_python_does() {
    for (constraint, good, bad) in [
        (
            json!({"equal": 1}),
            vec![json!(1), json!(1.0), json!(true)],
            vec![json!("1"), json!(2)],
        ),
        (
            json!({"greater_than": 1}),
            vec![json!(1.5)],
            vec![json!(1), json!("2"), json!([])],
        ),
        (
            json!({"less_or_equal": 1}),
            vec![json!(1), json!(-5)],
            vec![json!(2), Value::Null],
        ),
        (
            json!({"in_range": [1, 3]}),
            vec![json!(1), json!(3)],
            vec![json!(0), json!(4)],
        ),
        (
            json!({"valid_values": [1, "a", {"k": 1.0}]}),
            vec![json!(true), json!("a"), json!({"k": 1})],
            vec![json!("1"), json!({"k": 2})],
        ),
        (
            json!({"length": 2}),
            vec![json!("hé"), json!([1, 2])],
            vec![json!("a"), json!(2)],
        ),
        (
            json!({"max_length": 1}),
            vec![json!(""), json!({"k": 1})],
            vec![json!("ab")],
        ),
        // A pattern is anchored at the start alone, and may look ahead.
        (
            json!({"pattern": "a|b"}),
            vec![json!("ax"), json!("b")],
            vec![json!("xa"), json!(1)],
        ),
        (
            json!({"pattern": "(?!no)\\w+\\Z"}),
            vec![json!("yes")],
            vec![json!("no"), json!("a b")],
        ),
    ] {
        for value in good {
            assert!(
                holds(constraint.clone(), value.clone()),
                "{constraint} {value}"
            );
        }
        for value in bad {
            assert!(
                !holds(constraint.clone(), value.clone()),
                "{constraint} {value}"
            );
        }
    }
}

#[test]
fn a_pattern_that_takes_for_ever_is_given_up() {
    assert!(!holds(
        json!({"pattern": "(a+)+(?=b)"}),
        json!("a".repeat(60))
    ));
}

#[test]
fn definitions_are_checked() {
    let define = |constraint: Value, minor: u64, versions: bool| {
        check_definition(&[json!({"equal": 1}), constraint], minor, versions)
            .map_err(|found| (found.err_code, found.path.to_string()))
    };
    let at = |code: i32| Err((Some(code), "[1]".to_owned()));
    assert_eq!(define(json!({"in_range": [1, 2]}), 2, true), Ok(()));
    assert_eq!(
        define(json!({"in_range": {"get_input": "x"}}), 2, true),
        Ok(())
    );
    assert_eq!(define(json!({"in_range": [1]}), 2, true), at(212));
    assert_eq!(define(json!({"pattern": "("}), 2, true), at(212));
    assert_eq!(
        define(json!({"name_pattern": {"like": "x"}}), 2, true),
        at(212)
    );
    assert_eq!(define(json!({"equals": 1}), 2, true), at(103));
    assert_eq!(define(json!({}), 5, true), at(103));
    let with_message = json!({"equal": 1, "error_message": "no"});
    assert_eq!(define(with_message.clone(), 5, true), Ok(()));
    assert_eq!(define(with_message.clone(), 4, true), at(102));
    assert_eq!(define(with_message, 5, false), at(103));
    assert_eq!(
        define(json!({"error_message": "no"}), 5, true),
        Err((None, "[1]".to_owned()))
    );
    let found = check_definition(&[json!({"equals": 1})], 5, true).unwrap_err();
    assert_eq!(found.suggestion.as_deref(), Some("equal"));
}

#[test]
fn names_of_objects_are_looked_up() {
    let check = |declared: &str, constraint: Option<Value>, value: &str, names: &Names| {
        let constraints: Vec<Value> = constraint.into_iter().collect();
        let schema = json!({"type": declared, "constraints": constraints});
        check_value("i", &schema, &json!(value), Some(names)).is_ok()
    };
    let nowhere = Names::default();
    let in_blueprint = Names {
        blueprint: true,
        deployment: false,
    };
    let in_deployment = Names {
        blueprint: false,
        deployment: true,
    };
    let filter = Some(json!({"filter_id": "f"}));
    let pattern = Some(json!({"name_pattern": {"starts_with": "a"}}));
    let elsewhere = Some(json!({"deployment_id": "d"}));
    assert!(check("blueprint_id", None, "b-blueprint_id", &nowhere));
    assert!(!check("blueprint_id", None, "c-blueprint_id", &nowhere));
    assert!(check(
        "blueprint_id",
        filter.clone(),
        "a-blueprint_id",
        &nowhere
    ));
    assert!(!check(
        "blueprint_id",
        filter.clone(),
        "b-blueprint_id",
        &nowhere
    ));
    assert!(!check("secret_key", filter, "a-secret_key", &nowhere));
    assert!(!check("node_id", pattern.clone(), "a-node_id", &nowhere));
    assert!(check(
        "node_id",
        pattern.clone(),
        "a-node_id",
        &in_blueprint
    ));
    assert!(check("node_id", elsewhere.clone(), "a-node_id", &nowhere));
    assert!(!check(
        "capability_value",
        pattern.clone(),
        "a-capability_value",
        &in_blueprint
    ));
    assert!(check(
        "capability_value",
        pattern.clone(),
        "a-capability_value",
        &in_deployment
    ));
    assert!(!check(
        "capability_value",
        pattern,
        "b-capability_value",
        &in_deployment
    ));
    assert!(check(
        "capability_value",
        elsewhere,
        "a-capability_value",
        &nowhere
    ));
    let schema = json!({"type": "node_id"});
    assert!(check_value("i", &schema, &json!("a-node_id"), None).is_err());
}

#[test]
fn defaults_are_checked_all_at_once_and_lose_their_messages() {
    let sections = json!({"inputs": {
        "good": {"default": 2, "constraints": [{"equal": 2, "error_message": "two"}]},
        "open": {"constraints": [{"equal": 2, "error_message": "two"}]},
        "small": {"default": 1, "constraints": [{"equal": 2, "error_message": "must be two"}]},
        "call": {"default": {"get_input": "good"}, "constraints": [{"equal": 2}]},
    }});
    let mut plan = Plan::new(sections.as_object().unwrap().clone());
    let error = check_defaults(&mut plan).unwrap_err();
    let found: Vec<(Exception, String)> = error
        .diagnostics()
        .iter()
        .map(|found| (found.exception, found.path.to_string()))
        .collect();
    assert_eq!(
        found,
        [
            (Exception::Constraint, "inputs.small.default".to_owned()),
            (Exception::Parsing, "inputs.call.default".to_owned()),
        ]
    );
    assert_eq!(error.first().message, "must be two");
    let inputs = plan.section("inputs").unwrap();
    assert_eq!(inputs["good"]["constraints"], json!([{"equal": 2}]));
    assert_eq!(inputs["open"]["constraints"][0]["error_message"], "two");
}
