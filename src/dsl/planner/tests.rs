//! Tests of the planner: inputs, instances, scaling; and that planning is linear and does not care
//! for names.
#![allow(clippy::unwrap_used, reason = "tests")]

mod modification;
mod shapes;
mod update;

use crate::dsl::value::{Value, json};

use super::*;
use crate::dsl::{DslError, Exception, Plan};

/// A manager where every secret exists but `missing`.
struct Manager;

impl Getters for Manager {
    fn has_secret(&self, name: &str) -> Option<Result<bool, DslError>> {
        Some(Ok(name != "missing"))
    }
}

/// A manager that has no secrets to offer.
struct Nobody;

impl Getters for Nobody {
    fn has_secret(&self, _: &str) -> Option<Result<bool, DslError>> {
        None
    }
}

pub(super) fn plan(value: Value) -> Plan {
    Plan::new(value.as_object().unwrap().clone())
}

/// A node with so many instances per parent, and relationships as (kind, target).
pub(super) fn node(name: &str, count: usize, relationships: &[(&str, &str)]) -> Value {
    let relationships: Vec<Value> = relationships
        .iter()
        .map(|(kind, target)| {
            let (base, connection) = match *kind {
                "contained_in" => ("contained_in", "all_to_all"),
                other => ("connected_to", other),
            };
            let kind = format!("cloudify.relationships.{base}");
            json!({
                "type": kind,
                "target_id": target,
                "type_hierarchy": ["cloudify.relationships.depends_on", kind],
                "properties": {"connection_type": connection},
            })
        })
        .collect();
    json!({
        "id": name,
        "name": name,
        "properties": {},
        "capabilities": {"scalable": {"properties": {"current_instances": count}}},
        "relationships": relationships,
    })
}

pub(super) fn host(name: &str, count: usize, relationships: &[(&str, &str)]) -> Value {
    let mut host = node(name, count, relationships);
    host["host_id"] = json!(name);
    host
}

pub(super) fn group(members: &[&str], count: usize) -> Value {
    json!({"members": members, "properties": {"current_instances": count}})
}

fn prepare_with(
    sections: Value,
    given: Value,
    getters: &dyn Getters,
) -> Result<Plan, (Exception, Option<i32>)> {
    let options = PrepareOptions {
        inputs: given.as_object().cloned().unwrap_or_default(),
        ..PrepareOptions::default()
    };
    prepare(
        &plan(sections),
        &options,
        getters,
        &mut CountedIds::default(),
    )
    .map_err(|error| (error.exception(), error.err_code()))
}

fn set(definition: Value, given: Value) -> Result<Value, (Exception, Option<i32>)> {
    let data_types = json!({
        "point": {"properties": {
            "x": {"type": "integer", "default": 1},
            "y": {"type": "integer", "required": false},
        }},
        "named": {"properties": {"name": {"type": "string"}, "at": {"type": "point", "default": {}}}},
    });
    let sections = json!({"inputs": {"i": definition}, "data_types": data_types});
    prepare_with(sections, given, &Manager)
        .map(|prepared| prepared.section("inputs").unwrap()["i"].clone())
}

#[test]
fn inputs_take_the_value_given_the_default_or_what_their_type_says() {
    for (definition, given, expected) in [
        (json!({"default": 1}), json!({"i": 2}), json!(2)),
        (json!({"default": 1}), json!({"i": null}), Value::Null),
        (json!({"default": 1}), json!({}), json!(1)),
        (json!({"required": false}), json!({}), Value::Null),
        (json!({"type": "point"}), json!({}), json!({"x": 1})),
        (
            json!({"type": "point"}),
            json!({"i": {"y": 5}}),
            json!({"x": 1, "y": 5}),
        ),
        (
            json!({"type": "named"}),
            json!({"i": {"name": "a"}}),
            json!({"name": "a", "at": {"x": 1}}),
        ),
        (
            json!({"type": "list", "item_type": "integer", "constraints": [{"in_range": [1, 3]}]}),
            json!({"i": [1, 3]}),
            json!([1, 3]),
        ),
    ] {
        assert_eq!(set(definition.clone(), given), Ok(expected), "{definition}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    for (definition, given, expected) in [
        (
            json!({}),
            json!({}),
            (Exception::MissingRequiredInput, None),
        ),
        (
            json!({"type": "named"}),
            json!({}),
            (Exception::MissingRequiredInput, None),
        ),
        (
            json!({"default": 1}),
            json!({"j": 1}),
            (Exception::UnknownInput, None),
        ),
        (
            json!({"type": "integer"}),
            json!({"i": "5"}),
            (Exception::Parsing, Some(214)),
        ),
        (
            json!({"type": "point"}),
            json!({"i": {"z": 1}}),
            (Exception::Parsing, Some(214)),
        ),
        (
            json!({"constraints": [{"min_length": 3}]}),
            json!({"i": "ab"}),
            (Exception::Constraint, None),
        ),
        (
            json!({"constraints": [{"min_length": 3}]}),
            json!({"i": {"get_secret": "s"}}),
            (Exception::Parsing, Some(213)),
        ),
        (
            json!({"type": "list", "item_type": "integer"}),
            json!({"i": ["a"]}),
            (Exception::Logic, Some(105)),
        ),
        (
            json!({"type": "node_id"}),
            json!({"i": "n"}),
            (Exception::Constraint, None),
        ),
    ] {
        assert_eq!(
            set(definition.clone(), given),
            Err(expected),
            "{definition}"
        );
    }
}

#[test]
fn strings_become_what_they_are_declared_to_be_on_request() {
    let correct = |declared: &str, text: &str| {
        crate::dsl::constraints::auto_correct(&json!(text), Some(declared))
    };
    assert_eq!(correct("integer", " 1_000 "), json!(1000));
    assert_eq!(correct("integer", "1.5"), json!("1.5"));
    assert_eq!(correct("integer", "_1"), json!("_1"));
    assert_eq!(correct("float", "1e3"), json!(1000.0));
    assert_eq!(correct("boolean", "true"), json!(true));
    assert_eq!(correct("boolean", "True"), json!("True"));
    assert_eq!(correct("string", "1"), json!("1"));
}

#[test]
fn secrets_must_exist() {
    let asking = |name: &str| json!({"outputs": {"o": {"value": {"get_secret": name}}}});
    assert!(prepare_with(asking("there"), json!({}), &Manager).is_ok());
    let missing = prepare_with(asking("missing"), json!({}), &Manager).unwrap_err();
    assert_eq!(missing.0, Exception::UnknownSecret);
    let nobody = prepare_with(asking("there"), json!({}), &Nobody).unwrap_err();
    assert_eq!(nobody.0, Exception::UnsupportedGetSecret);
}

#[test]
fn operations_and_interfaces_show_the_same_inputs() {
    let operation =
        |inputs: Value| json!({"plugin": "p", "inputs": inputs, "has_intrinsic_functions": false});
    let inputs = json!({"a": {"get_input": "i"}, "b": {"get_secret": "s"}});
    let mut web = node("web", 1, &[]);
    web["interfaces"] = json!({"ifc": {"op": {"inputs": inputs}}});
    web["operations"] = json!({"op": operation(inputs.clone()), "ifc.op": operation(inputs)});
    let sections = json!({"inputs": {"i": {"default": 7}}, "nodes": [web]});
    let prepared = prepare_with(sections, json!({}), &Manager).unwrap();
    let web = &prepared.nodes()[0];
    let expected = json!({"a": 7, "b": {"get_secret": "s"}});
    assert_eq!(web["operations"]["op"]["inputs"], expected);
    assert_eq!(web["interfaces"]["ifc"]["op"]["inputs"], expected);
    assert_eq!(web["operations"]["ifc.op"]["has_intrinsic_functions"], true);
}

#[test]
fn other_deployments_are_noted_for_every_instance() {
    let mut web = node("web", 2, &[("all_to_all", "db")]);
    web["properties"] = json!({"p": {"get_capability": [{"get_input": "i"}, "c"]}});
    web["relationships"][0]["source_operations"] =
        json!({"op": {"inputs": {"x": {"get_capability": [{"get_secret": "s"}, "c"]}}}});
    let sections = json!({
        "inputs": {"i": {"default": "other"}},
        "nodes": [web, node("db", 1, &[])],
        "outputs": {"o": {"value": {"concat": ["x", {"get_capability": ["third", "c"]}]}}},
    });
    let prepared = prepare_with(sections, json!({}), &Manager).unwrap();
    let found = prepared.section("inter_deployment_functions").unwrap();
    let found: Vec<(&str, &Value, usize)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["function_identifier"].as_str().unwrap(),
                &entry["target_deployment"],
                entry["context"].as_object().unwrap().len(),
            )
        })
        .collect();
    let in_relationship =
        "nodes.web.cloudify.relationships.connected_to.op.inputs.x.get_capability";
    let (other, third) = (json!(["other", "other"]), json!(["third", "third"]));
    let unknown = json!([null, {"get_secret": "s"}]);
    assert_eq!(
        found,
        [
            ("nodes.web.properties.p.get_capability", &other, 1),
            ("nodes.web.properties.p.get_capability", &other, 1),
            (in_relationship, &unknown, 3),
            (in_relationship, &unknown, 3),
            ("outputs.o.value.concat[1].get_capability", &third, 0),
        ]
    );
}

#[test]
fn too_many_instances_are_refused_before_they_are_made() {
    let nodes = json!([node("a", 1_000_000_000, &[])]);
    let error = instances(
        &plan(json!({"nodes": nodes})),
        &mut CountedIds::default(),
        Vec::new(),
    )
    .unwrap_err();
    assert_eq!(error.exception(), Exception::Uncontrolled("MemoryError"));
}
