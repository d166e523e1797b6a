//! Lifecycle graphs against recorded ones, and their variations by state.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::{Value, json};
use stratalog_projections::views::{node_instances::NodeInstance, nodes};

use super::*;
use crate::workflow::{
    graph::task::{Kind, Task},
    operation::{Facts, Retries},
};

impl Builtin {
    /// The graph of a phase.
    fn build(
        self,
        (index, name): (usize, &str),
        topology: &Topology,
        facts: &Facts,
    ) -> Result<Vec<Task>, Error> {
        let plan = self.plan(index, topology, &facts.parameters)?;
        plan.build(name, topology, facts)
    }
}

/// A recorded conversation; nothing, with a note, where the recordings are not at hand.
fn recorded(name: &str) -> Vec<Value> {
    let root = std::env::var_os("STRATALOG_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = root.join("conformance/transcripts").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no recording at {}", path.display());
        return Vec::new();
    };
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn reply<'r>(records: &'r [Value], path: &str) -> &'r Value {
    let found = records.iter().find(|record| record["path"] == path);
    &found.unwrap_or_else(|| panic!("no {path}"))["resp_body"]
}

fn topology(nodes: &Value, instances: &Value) -> Topology {
    let nodes: Vec<nodes::Node> = serde_json::from_value(nodes.clone()).unwrap();
    let instances: Vec<NodeInstance> = serde_json::from_value(instances.clone()).unwrap();
    Topology::new(nodes, instances).unwrap()
}

/// What a task is, whatever its id.
fn label(task: &Value, all: &BTreeMap<String, Value>) -> String {
    let parameters = &task["parameters"];
    let context = &parameters["task_kwargs"]["kwargs"]["__cloudify_context"];
    let parent = parameters["containing_subgraph"]
        .as_str()
        .and_then(|id| all.get(id));
    let parent = parent.map(|parent| label(parent, all)).unwrap_or_default();
    let what = match task["type"].as_str().unwrap() {
        "RemoteWorkflowTask" => format!(
            "{} {} {}",
            context["operation"], context["node_id"], context["related"]
        ),
        _ => parameters["info"].to_string(),
    };
    format!("{parent} / {} {} {what}", task["type"], task["name"])
}

fn shape(tasks: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let all: BTreeMap<String, Value> = tasks
        .iter()
        .map(|task| (task["id"].as_str().unwrap().to_owned(), task.clone()))
        .collect();
    let one = |task: &Value| {
        let on = task["dependencies"].as_array().unwrap().iter();
        let on = on
            .map(|id| label(&all[id.as_str().unwrap()], &all))
            .collect();
        (label(task, &all), on)
    };
    tasks.iter().map(one).collect()
}

fn wire(tasks: &[Task]) -> Vec<Value> {
    let one = |task: &Task| {
        json!({"id": task.id, "name": task.name, "type": task.kind.wire(),
            "dependencies": task.dependencies, "parameters": task.parameters})
    };
    tasks.iter().map(one).collect()
}

fn facts(parameters: Value) -> Facts {
    Facts {
        execution_id: "e".to_owned(),
        workflow_id: "install".to_owned(),
        tenant: "default_tenant".to_owned(),
        parameters: parameters.as_object().unwrap().clone(),
        retries: Retries::default(),
        ..Facts::default()
    }
}

fn compare(recording: &str, builtin: Builtin, name: &str) {
    let records = recorded(recording);
    if records.is_empty() {
        return;
    }
    let nodes = &reply(&records, "/api/v3.1/nodes")["items"];
    let instances = &reply(&records, "/api/v3.1/node-instances")["items"];
    let stored = records
        .iter()
        .find(|record| record["path"] == "/api/v3.1/tasks_graphs/tasks_graphs")
        .unwrap();
    let expected = stored["req_body"]["operations"].as_array().unwrap();
    let facts = facts(json!({}));
    let built = builtin
        .build((0, name), &topology(nodes, instances), &facts)
        .unwrap();
    let (built, expected) = (shape(&wire(&built)), shape(expected));
    for (label, on) in &expected {
        assert_eq!(built.get(label), Some(on), "{label}");
    }
    assert_eq!(built.len(), expected.len());
}

#[test]
fn install_is_as_recorded() {
    compare("mw_install.jsonl", Builtin::Install, "install");
}

#[test]
fn uninstall_is_as_recorded() {
    compare("mw_uninstall.jsonl", Builtin::Uninstall, "uninstall");
}

#[test]
fn stored_operations_are_as_recorded() {
    let records = recorded("mw_install.jsonl");
    if records.is_empty() {
        return;
    }
    let nodes = &reply(&records, "/api/v3.1/nodes")["items"];
    let instances = &reply(&records, "/api/v3.1/node-instances")["items"];
    let stored = records
        .iter()
        .find(|record| record["path"] == "/api/v3.1/tasks_graphs/tasks_graphs")
        .unwrap();
    let remote = |task: &&Value| task["type"] == "RemoteWorkflowTask";
    let operations = stored["req_body"]["operations"].as_array().unwrap();
    let expected = operations.iter().find(remote).unwrap();
    let context = &expected["parameters"]["task_kwargs"]["kwargs"]["__cloudify_context"];
    let facts = Facts {
        execution_id: context["execution_id"].as_str().unwrap().to_owned(),
        created_by: "admin".to_owned(),
        blueprint_id: Some("rec1".to_owned()),
        deployment_id: Some("recdep".to_owned()),
        deployment_display_name: Some("recdep".to_owned()),
        deployment_creator: Some("admin".to_owned()),
        deployment_resource_tags: json!({}),
        rest_host: vec!["127.0.0.1".to_owned()],
        rest_port: 53334,
        ..facts(context["workflow_parameters"].clone())
    };
    let built = Builtin::Install
        .build((0, "install"), &topology(nodes, instances), &facts)
        .unwrap();
    let built = wire(&built);
    let same = |task: &&Value| {
        let own = &task["parameters"]["task_kwargs"]["kwargs"]["__cloudify_context"];
        own["node_id"] == context["node_id"] && own["operation"] == context["operation"]
    };
    let mut built = built.iter().find(same).unwrap()["parameters"].clone();
    let mut expected = expected["parameters"].clone();
    for parameters in [&mut built, &mut expected] {
        parameters["containing_subgraph"] = Value::Null;
        parameters["task_kwargs"]["kwargs"]["__cloudify_context"]["task_id"] = Value::Null;
    }
    assert_eq!(built, expected);
}

fn instance(id: &str, node: &str, state: &str, targets: &[(&str, &str)]) -> Value {
    let relationships: Vec<Value> = targets
        .iter()
        .map(|(id, name)| json!({"target_id": id, "target_name": name, "type": "r"}))
        .collect();
    json!({"id": id, "host_id": null, "index": 1, "relationships_p": null,
        "relationships": relationships, "runtime_properties_p": null, "runtime_properties": {},
        "system_properties": null, "scaling_groups_p": null, "scaling_groups": [], "state": state,
        "version": 1, "has_configuration_drift": false, "is_status_check_ok": false,
        "node_id": node, "deployment_id": "d", "visibility": "tenant",
        "tenant_name": "t", "created_by": "admin", "resource_availability": "tenant",
        "private_resource": false})
}

fn node(id: &str, operations: &[&str], targets: &[(&str, Value)]) -> Value {
    let called = json!({"plugin": "script", "operation": "script_runner.tasks.run",
        "executor": "central_deployment_agent", "inputs": {"a": 1}});
    let operations: serde_json::Map<String, Value> = operations
        .iter()
        .map(|name| ((*name).to_owned(), called.clone()))
        .collect();
    let relationships: Vec<Value> = targets
        .iter()
        .map(|(target, properties)| {
            json!({"target_id": target, "type": "r", "properties": properties,
                "source_operations": {}, "target_operations": {}})
        })
        .collect();
    json!({"id": id, "deploy_number_of_instances": 1, "host_id": null,
        "max_number_of_instances": 1, "min_number_of_instances": 1, "number_of_instances": 1,
        "planned_number_of_instances": 1, "plugins_p": null, "plugins": [],
        "plugins_to_install_p": null, "plugins_to_install": null, "properties_p": null,
        "properties": {}, "relationships_p": null, "relationships": relationships,
        "operations_p": null, "operations": operations, "type": "x", "type_hierarchy_p": null,
        "type_hierarchy": ["cloudify.nodes.Root", "x"], "drifted_instances": 0,
        "unavailable_instances": 0, "actual_number_of_instances": 1, "deployment_id": "d",
        "blueprint_id": "b", "deployment_display_name": "d", "visibility": "tenant",
        "tenant_name": "t", "created_by": "admin", "resource_availability": "tenant",
        "private_resource": false, "actual_planned_number_of_instances": 1})
}

/// The events and states of a graph of one instance, in order.
fn told(builtin: Builtin, state: &str, operations: &[&str], parameters: Value) -> Vec<String> {
    let topology = topology(
        &json!([node("n", operations, &[])]),
        &json!([instance("n_1", "n", state, &[])]),
    );
    let tasks = builtin
        .build((0, "g"), &topology, &facts(parameters))
        .unwrap();
    let info = |task: &Task| match task.parameters.info.as_str() {
        Some(text) => text.to_owned(),
        None => task.name.clone(),
    };
    tasks.iter().skip(1).map(info).collect()
}

const CREATE: &str = "cloudify.interfaces.lifecycle.create";
const STOP: &str = "cloudify.interfaces.lifecycle.stop";

#[test]
fn what_is_created_already_is_not_created_again() {
    assert_eq!(
        told(Builtin::Install, "created", &[CREATE], json!({})),
        ["started", "Node instance started (nothing to do)"]
    );
    let lines = told(Builtin::Install, "creating", &[CREATE], json!({}));
    assert_eq!(
        lines.first().map(String::as_str),
        Some("initializing"),
        "an interrupted creation is begun anew"
    );
    assert!(lines.contains(&"Creating node instance".to_owned()));
    assert!(!lines.contains(&"Precreating node instance: nothing to do".to_owned()));
}

#[test]
fn what_was_never_installed_is_only_told_about() {
    assert_eq!(
        told(Builtin::Uninstall, "uninitialized", &[STOP], json!({})),
        [
            "Stop: instance already uninitialized",
            "stopped",
            "Delete: instance already uninitialized",
            "deleted",
            "Deleted node instance"
        ]
    );
}

#[test]
fn failures_of_a_lenient_uninstall_are_passed_over() {
    let topology = topology(
        &json!([node("n", &[STOP], &[])]),
        &json!([instance("n_1", "n", "started", &[])]),
    );
    let facts = facts(json!({"ignore_failure": true}));
    let tasks = Builtin::Uninstall
        .build((0, "uninstall"), &topology, &facts)
        .unwrap();
    for task in tasks {
        assert_eq!(
            task.is_ignored(),
            task.kind != Kind::Subgraph,
            "{}",
            task.name
        );
    }
}

#[test]
fn an_operation_is_executed_with_what_the_workflow_adds() {
    let parameters = json!({"operation": CREATE, "operation_kwargs": {"b": 2}});
    let lines = told(Builtin::ExecuteOperation, "started", &[CREATE], parameters);
    assert_eq!(
        lines,
        [
            format!("Starting operation {CREATE} (Operation parameters: {{\"b\":2}})"),
            "script_runner.tasks.run".to_owned(),
            format!("Finished operation {CREATE}"),
        ]
    );
    let topology = topology(
        &json!([node("n", &[CREATE], &[])]),
        &json!([instance("n_1", "n", "started", &[])]),
    );
    let twice = facts(json!({"operation": CREATE, "operation_kwargs": {"a": 2}}));
    let refused = Builtin::ExecuteOperation
        .build((0, "g"), &topology, &twice)
        .unwrap_err();
    assert!(
        refused.to_string().contains("Duplicate definition of a"),
        "{refused}"
    );
}

#[test]
fn a_relationship_may_wait_for_one_operation_only() {
    let awaited = json!({"operation": "create"});
    let nodes = json!([
        node("target", &[CREATE], &[]),
        node("source", &[CREATE], &[("target", awaited)]),
    ]);
    let instances = json!([
        instance("target_1", "target", "uninitialized", &[]),
        instance(
            "source_1",
            "source",
            "uninitialized",
            &[("target_1", "target")]
        ),
    ]);
    let tasks = Builtin::Install
        .build(
            (0, "install"),
            &topology(&nodes, &instances),
            &facts(json!({})),
        )
        .unwrap();
    let source = tasks
        .iter()
        .find(|task| task.name == "install_source_1")
        .unwrap();
    let on: Vec<&str> = source
        .dependencies
        .iter()
        .map(|id| {
            let task = tasks.iter().find(|task| task.id == *id).unwrap();
            task.parameters.info.as_str().unwrap()
        })
        .collect();
    assert_eq!(on, ["Node instance created", "created"]);
}

#[test]
fn building_again_gives_the_same_graph() {
    let nodes = json!([node("n", &[CREATE, STOP], &[])]);
    let instances = json!([instance("n_1", "n", "uninitialized", &[])]);
    let topology = topology(&nodes, &instances);
    let facts = facts(json!({}));
    let build = || {
        Builtin::Install
            .build((0, "install"), &topology, &facts)
            .unwrap()
    };
    assert_eq!(build(), build());
}
