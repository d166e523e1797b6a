//! A deployment in memory, and what functions make of it.

use std::sync::Arc;

use crate::dsl::value::{Value, json};

use super::super::*;
use crate::dsl::{DslError, Exception};

#[derive(Debug)]
pub(super) struct Deployment(pub(super) Value);

impl Default for Deployment {
    fn default() -> Self {
        let instance = |id: &str, node: &str, properties: Value| json!({"id": id, "node_id": node, "index": 1, "runtime_properties": properties});
        let mut app_1 = instance("app_1", "app", json!({"x": "one"}));
        app_1["relationships"] = json!([{"target_name": "db", "target_id": "db_2"}]);
        app_1["scaling_groups"] = json!([{"name": "g", "id": "g_1"}]);
        let mut cache_1 = instance("cache_1", "cache", json!({"x": "near"}));
        cache_1["scaling_groups"] = json!([{"name": "g", "id": "g_1"}]);
        let mut cache_2 = instance("cache_2", "cache", json!({"x": "far"}));
        cache_2["scaling_groups"] = json!([{"name": "g", "id": "g_2"}]);
        Self(json!({
            "inputs": {"i": "input"},
            "secrets": {"plain": "p", "json": "{\"a\": [1, 2]}"},
            "labels": {"l": ["v1", "v2"], "csys-obj-parent": ["parent"]},
            "capabilities": {"parent": {"c": "shared"}},
            "nodes": [
                {"id": "app", "properties": {"p": {"get_attribute": ["SELF", "x"]}}},
                {"id": "db", "properties": {"port": 5432, "loop": {"get_attribute": ["db2", "loop"]}}},
                {"id": "db2", "properties": {"loop": {"get_attributes_list": ["db2", "loop"]}}},
                {"id": "cache", "properties": {}},
            ],
            "instances": [
                app_1,
                instance("app_2", "app", json!({"x": "two"})),
                instance("db_1", "db", json!({"token": "t1", "nested": {"k": [1]}})),
                instance("db_2", "db", json!({"token": {"concat": ["t", {"get_input": "i"}]}})),
                instance("db2_1", "db2", json!({})),
                cache_1,
                cache_2,
            ],
        }))
    }
}

impl Deployment {
    fn find(&self, list: &str, key: &str, id: &str) -> Vec<Arc<Value>> {
        let items = self.0[list].as_array().unwrap().iter();
        items
            .filter(|item| item[key] == id)
            .cloned()
            .map(Arc::new)
            .collect()
    }
}

impl Storage for Deployment {
    fn input(&self, name: &str) -> Result<Option<Value>, DslError> {
        Ok(self.0["inputs"].get(name).cloned())
    }

    fn node(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        Ok(self.find("nodes", "id", id).pop())
    }

    fn node_instance(&self, id: &str) -> Result<Option<Arc<Value>>, DslError> {
        Ok(self.find("instances", "id", id).pop())
    }

    fn node_instances(&self, node_id: &str) -> Result<Vec<Arc<Value>>, DslError> {
        Ok(self.find("instances", "node_id", node_id))
    }

    fn secret(&self, name: &str) -> Result<Option<Value>, DslError> {
        Ok(self.0["secrets"].get(name).cloned())
    }

    fn capability(&self, path: &[Value]) -> Result<Value, DslError> {
        let find = || {
            let deployment = self.0["capabilities"].get(path.first()?.as_str()?)?;
            deployment.get(path.get(1)?.as_str()?)
        };
        find().cloned().ok_or_else(|| {
            DslError::new(
                Exception::FunctionEvaluation,
                None,
                "no such capability".to_owned(),
            )
        })
    }

    fn group_capability(&self, path: &[Value]) -> Result<Value, DslError> {
        Ok(Value::from(path))
    }

    fn label(&self, key: &str) -> Result<Option<Vec<Value>>, DslError> {
        Ok(self.0["labels"]
            .get(key)
            .and_then(Value::as_array)
            .map(|list| list.to_vec()))
    }

    fn system(&self, entity: &str, property: &str) -> Result<Value, DslError> {
        Ok(Value::from(format!("{entity}-{property}")))
    }

    fn consumers(&self, property: &str) -> Result<Value, DslError> {
        Ok(Value::from(property))
    }
}

fn evaluate(value: Value, context: Value) -> Result<Value, Exception> {
    let payload = json!({"v": value});
    evaluate_runtime(
        &Deployment::default(),
        &payload,
        &Context::from_json(&context),
    )
    .map(|evaluated| evaluated["v"].clone())
    .map_err(|error| error.exception())
}

#[test]
fn a_deployment_answers() {
    let own = json!({"self": "app_1"});
    for (written, expected) in [
        (json!({"get_attribute": ["SELF", "x"]}), json!("one")),
        (json!({"get_attribute": ["SELF", "p"]}), json!("one")),
        (
            json!({"get_attribute": ["SELF", "node_instance_id"]}),
            json!("app_1"),
        ),
        (json!({"get_attribute": ["SELF", "nosuch"]}), Value::Null),
        // Of two instances, the one app_1 is related to; of two others, the one in its group.
        (json!({"get_attribute": ["db", "token"]}), json!("tinput")),
        (json!({"get_attribute": ["cache", "x"]}), json!("near")),
        (json!({"get_attribute": ["db", "port"]}), json!(5432)),
        (
            json!({"get_attributes_list": ["app", "x"]}),
            json!(["one", "two"]),
        ),
        (
            json!({"get_attributes_dict": ["db", "token", ["nested", "k"]]}),
            json!({
                "db_1": {"token": "t1", "nested.k": [1]},
                "db_2": {"token": "tinput", "nested.k": null},
            }),
        ),
        (json!({"get_property": ["SELF", "p"]}), json!("one")),
        (json!({"get_secret": ["json", "a", 1]}), json!(2)),
        (json!({"get_label": ["l", "1"]}), json!("v2")),
        (json!({"get_environment_capability": "c"}), json!("shared")),
        (json!({"get_sys": ["tenant", "name"]}), json!("tenant-name")),
        (json!({"get_consumers": "count"}), json!("count")),
    ] {
        let found = evaluate(written.clone(), own.clone());
        assert_eq!(found, Ok(expected), "{written}");
    }
}

#[test]
fn what_a_deployment_cannot_answer_is_an_error() {
    for (written, context, expected) in [
        (
            json!({"get_attribute": ["SELF", "x"]}),
            json!({}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_attribute": ["db", "x"]}),
            json!({}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_attribute": ["nosuch", "x"]}),
            json!({}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_secret": "nosuch"}),
            json!({}),
            Exception::UnknownSecret,
        ),
        (
            json!({"get_secret": ["plain", "a"]}),
            json!({}),
            Exception::FunctionEvaluation,
        ),
        (
            json!({"get_property": ["SELF", "p"]}),
            json!({"source": "app_1", "target": "db_1"}),
            Exception::Uncontrolled("ValueError"),
        ),
        (
            json!({"get_attribute": ["db2", "loop"]}),
            json!({}),
            Exception::EvaluationRecursionLimitReached,
        ),
        (
            json!({"get_environment_capability": ["c"]}),
            json!({}),
            Exception::FunctionValidation,
        ),
        (
            json!(1),
            json!({"self": "gone"}),
            Exception::Uncontrolled("KeyError"),
        ),
    ] {
        assert_eq!(
            evaluate(written.clone(), context),
            Err(expected),
            "{written}"
        );
    }
}

#[test]
fn outputs_show_what_failed_and_leave_out_missing_secrets() {
    let outputs = json!({
        "good": {"value": {"get_attribute": ["db2", "x"]}},
        "unclear": {"value": {"get_attribute": ["db", "token"]}},
        "secret": {"value": {"get_secret": "nosuch"}},
    });
    let outputs = outputs.as_object().unwrap();
    let values = evaluate_outputs(&Deployment::default(), outputs).unwrap();
    assert_eq!(values.names().collect::<Vec<_>>(), ["good", "unclear"]);
    assert_eq!(values["good"], Value::Null);
    assert!(values["unclear"].as_str().unwrap().starts_with("<ERROR: "));
    let error = evaluate_capabilities(&Deployment::default(), outputs).unwrap_err();
    assert_eq!(error.exception(), Exception::FunctionEvaluation);
}
