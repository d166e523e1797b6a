//! Tests of functions: against a plan, against a deployment, and on payloads nobody would write.
#![allow(clippy::unwrap_used, reason = "tests")]

mod deployment;

use crate::dsl::value::{Map, Value, json};
use proptest::prelude::*;

use super::*;
use crate::dsl::{Exception, Plan};

/// A plan with an output `o`, some inputs, and two nodes that refer to each other.
fn plan_with(output: Value) -> Plan {
    let plan = json!({
        "version": {"definitions_version": [1, 5]},
        "inputs": inputs(),
        "nodes": [
            {"id": "n", "name": "n", "properties": {
                "host": {"concat": [{"get_property": ["SELF", "name"]}, ".local"]},
                "name": {"get_input": "text"},
                "list": [1, [2, 3]],
                "waits": {"get_secret": "s"},
                "made": {"get_input": "map"},
            }},
            {"id": "m", "name": "m", "properties": {"name": "em", "of_n": {"get_property": ["n", "host"]}}},
        ],
        "outputs": {"o": {"value": output}},
    });
    Plan::new(plan.as_object().unwrap().clone())
}

fn inputs() -> Map {
    let inputs = json!({
        "text": "hello",
        "number": 5,
        "map": {"a": {"b": [10, 20]}},
        "calls": {"concat": ["a", {"get_input": "text"}]},
        "circle": {"get_input": ["round", 0]},
        "round": [{"get_input": "circle"}],
    });
    inputs.as_object().unwrap().clone()
}

fn output(value: Value) -> Result<Value, (Exception, String)> {
    let plan = plan_with(value);
    let inputs = inputs();
    let mut evaluated = plan.clone();
    evaluate_plan(&mut evaluated, &PlanSource::new(&plan, &inputs), false)
        .map_err(|error| (error.exception(), error.to_string()))?;
    Ok(evaluated.section("outputs").unwrap()["o"]["value"].clone())
}

#[test]
fn what_the_plan_knows_is_evaluated() {
    for (written, expected) in [
        (json!({"get_input": "text"}), json!("hello")),
        (json!({"get_input": ["map", "a", "b", -1]}), json!(20)),
        (json!({"get_input": "calls"}), json!("ahello")),
        (json!({"get_input": "number", "type": "integer"}), json!(5)),
        (json!({"get_property": ["n", "host"]}), json!("hello.local")),
        (json!({"get_property": ["m", "of_n"]}), json!("hello.local")),
        (json!({"get_property": ["n", "list", 1, 0]}), json!(2)),
        (
            json!({"get_property": ["n", "made", "a"]}),
            json!({"b": [10, 20]}),
        ),
        (
            json!({"concat": ["a", 1.0, true, null, [1, "x"]]}),
            json!("a1.0TrueNone[1, 'x']"),
        ),
        (
            json!({"merge": [{"a": 1}, {"b": 2}, {"a": 3}]}),
            json!({"a": 3, "b": 2}),
        ),
        (json!({"string_find": ["héllo", "l"]}), json!(2)),
        (
            json!({"string_replace": ["hello", "l", "L", 1]}),
            json!("heLlo"),
        ),
        (json!({"string_split": ["a,b,c", ",", -1]}), json!("c")),
        (
            json!({"string_upper": {"get_input": "text"}}),
            json!("HELLO"),
        ),
        (
            json!({"get_input": "text", "concat": ["a", "b"]}),
            json!("ab"),
        ),
    ] {
        assert_eq!(output(written.clone()), Ok(expected), "{written}");
    }
}

#[test]
fn what_only_a_deployment_knows_stays() {
    for (written, expected) in [
        (
            json!({"get_secret": {"get_input": "text"}}),
            json!({"get_secret": "hello"}),
        ),
        (
            json!({"concat": [{"get_secret": "s"}, {"get_input": "text"}]}),
            json!({"concat": [{"get_secret": "s"}, "hello"]}),
        ),
        (
            json!({"get_property": ["n", "waits", "k"]}),
            json!([{"get_secret": "s"}, "k"]),
        ),
        (
            json!({"get_input": "text", "other": 1}),
            json!({"get_input": "text", "other": 1}),
        ),
    ] {
        assert_eq!(output(written.clone()), Ok(expected), "{written}");
    }
}

#[test]
fn failures_have_the_class_clients_know() {
    for (written, expected) in [
        (json!({"get_input": "nosuch"}), Exception::UnknownInput),
        (
            json!({"get_input": ["map", "nosuch"]}),
            Exception::InputEvaluation,
        ),
        (
            json!({"get_input": ["text", "x"]}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_input": "text", "type": "integer"}),
            Exception::InputEvaluation,
        ),
        (
            json!({"get_input": {"get_secret": "s"}}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_property": ["n", "nosuch"]}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_property": ["SELF", "name"]}),
            Exception::Uncontrolled("ValueError"),
        ),
        (
            json!({"get_property": ["nosuch", "name"]}),
            Exception::Uncontrolled("KeyError"),
        ),
        (
            json!({"string_find": [{"get_secret": "s"}, "a"]}),
            Exception::FunctionEvaluation,
        ),
        (json!({"get_secret": ["s"]}), Exception::FunctionValidation),
    ] {
        let found = output(written.clone()).map_err(|(exception, _)| exception);
        assert_eq!(found, Err(expected), "{written}");
    }
}

#[test]
fn a_circle_is_an_error() {
    let (exception, message) = output(json!({"get_input": "circle"})).unwrap_err();
    assert_eq!(exception, Exception::EvaluationRecursionLimitReached);
    assert!(message.contains("refers to itself"), "{message}");
}

#[test]
fn depth_is_limited_where_the_reference_limits_it() {
    let nested = |levels: usize| (0..levels).fold(json!("x"), |inner, _| json!([inner]));
    assert!(output(nested(49)).is_ok());
    let (exception, _) = output(nested(50)).unwrap_err();
    assert_eq!(exception, Exception::EvaluationRecursionLimitReached);
}

#[test]
fn doubling_without_end_is_refused() {
    let mut doubling = inputs();
    doubling.insert("d0", json!("x"));
    for level in 1..=22 {
        let half = json!({"get_input": format!("d{}", level - 1)});
        doubling.insert(format!("d{level}"), json!({"concat": [half, half]}));
    }
    let plan = plan_with(json!({"get_input": "d22"}));
    let mut evaluated = plan.clone();
    let error =
        evaluate_plan(&mut evaluated, &PlanSource::new(&plan, &doubling), false).unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}

#[test]
fn a_chain_of_properties_may_be_long_in_either_direction() {
    let node = |index: usize, value: Value| {
        let name = format!("n{index}");
        json!({"id": name, "name": name, "properties": {"p": value}})
    };
    let link = |to: usize| json!({"get_property": [format!("n{to}"), "p"]});
    for ahead in [true, false] {
        let nodes: Vec<Value> = (0..2000_usize)
            .map(|index| match (ahead, index) {
                (true, 1999) | (false, 0) => node(index, json!("leaf")),
                (true, _) => node(index, link(index + 1)),
                (false, _) => node(index, link(index - 1)),
            })
            .collect();
        let plan = json!({"nodes": nodes});
        let plan = Plan::new(plan.as_object().unwrap().clone());
        let mut evaluated = plan.clone();
        evaluate_plan(&mut evaluated, &PlanSource::new(&plan, &Map::new()), false).unwrap();
        let all_leaf = evaluated
            .nodes()
            .iter()
            .all(|node| node["properties"]["p"] == "leaf");
        assert!(all_leaf);
    }
}

#[test]
fn validation_reports_everything_with_its_path() {
    let plan = plan_with(json!([
        {"get_input": "txet"},
        {"get_attribute": ["SELF", "x"]},
        {"get_sys": ["tenant", "x"]},
        {"concat": [{"get_property": ["n", "nosuch"]}]},
    ]));
    let error = validate(&plan, &places::of(&plan)).unwrap_err();
    let found: Vec<(Exception, String)> = error
        .diagnostics()
        .iter()
        .map(|found| (found.exception, found.path.to_string()))
        .collect();
    assert_eq!(
        found,
        [
            (
                Exception::UnknownInput,
                "outputs.o.value[0].get_input".to_owned()
            ),
            (
                Exception::Uncontrolled("ValueError"),
                "outputs.o.value[1].get_attribute".to_owned()
            ),
            (
                Exception::UnknownSysProperty,
                "outputs.o.value[2].get_sys".to_owned()
            ),
            (
                Exception::FunctionEvaluation,
                "outputs.o.value[3].concat[0].get_property".to_owned()
            ),
        ]
    );
    assert_eq!(error.first().suggestion.as_deref(), Some("text"));
}

#[test]
fn floats_print_as_python_prints_them() {
    for (number, expected) in [
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e22, "1e+22"),
        (1.5e-7, "1.5e-07"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
    ] {
        assert_eq!(text::str(&json!(number)), expected);
    }
}

/// Values that look like calls, with names and arguments mixed at will.
fn arbitrary_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..30).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "SELF", "SOURCE", "n", "m", "name", "host", "text", "calls", "circle", "round", "a",
            "tenant", "ids", "", "é",
        ])
        .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "concat",
        "get_attribute",
        "get_attributes_dict",
        "get_attributes_list",
        "get_capability",
        "get_consumers",
        "get_environment_capability",
        "get_group_capability",
        "get_input",
        "get_label",
        "get_property",
        "get_secret",
        "get_sys",
        "merge",
        "string_find",
        "string_lower",
        "string_replace",
        "string_split",
        "type",
        "other",
    ]);
    leaf.prop_recursive(6, 60, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..3).prop_map(|entries| {
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value));
                Value::Object(entries.collect())
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics(value in arbitrary_value()) {
        let plan = plan_with(value.clone());
        let places = places::of(&plan);
        let checked = validate(&plan, &places);
        requirements(&plan, &places);
        let evaluated = output(value.clone());
        let deployment = deployment::Deployment::default();
        let at_runtime = evaluate_runtime(&deployment, &json!({"v": value}), &Context::default());
        // All three end, one way or the other, and none in an error without a message.
        for message in [
            checked.err().map(|error| error.to_string()),
            evaluated.err().map(|(_, message)| message),
            at_runtime.err().map(|error| error.to_string()),
        ].into_iter().flatten() {
            prop_assert!(!message.is_empty());
        }
    }

    #[test]
    fn evaluating_twice_changes_nothing(value in arbitrary_value()) {
        if let Ok(once) = output(value) {
            prop_assert_eq!(output(once.clone()), Ok(once));
        }
    }
}
