//! Components are checked, healed and updated with the node they belong to.
use serde_json::{Value, json};

use crate::{
    rest::archive,
    support::{manager::Manager, wagon::Wagon},
};

const PART: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs:
  size: {type: integer}
node_templates:
  inner:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.validation:
        check_status:
          implementation: |
            #!/bin/bash
            test ! -e AT/ill
          executor: central_deployment_agent
      cloudify.interfaces.lifecycle:
        heal:
          implementation: |
            #!/bin/bash
            rm AT/ill
          executor: central_deployment_agent
capabilities:
  size: {value: {get_input: size}}
";

const WHOLE: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs:
  size: {default: 3}
  colour: {default: green}
  name: {default: part}
  blueprint: {default: part-blueprint}
node_templates:
  part:
    type: cloudify.nodes.Component
    properties:
      resource_config:
        blueprint: {id: {get_input: blueprint}, blueprint_archive: part.tar, labels: [{made: here}]}
        deployment:
          id: {get_input: name}
          inputs: {size: {get_input: size}}
          labels: [{colour: {get_input: colour}}]
capabilities:
  size: {value: {get_attribute: [part, capabilities, size]}}
";

async fn run(manager: &Manager, workflow: &str) -> Value {
    manager.run("whole", workflow, json!({})).await
}

async fn instance(manager: &Manager) -> Value {
    manager.instance("whole", "part").await
}

/// What a check of drift finds.
async fn drift(manager: &Manager) -> Value {
    let end = run(manager, "check_drift").await;
    assert_eq!(end["status"], "terminated", "{end}");
    let found = instance(manager).await;
    let result = found["system_properties"]["configuration_drift"]["result"].clone();
    assert_eq!(
        found["has_configuration_drift"],
        !result.is_null(),
        "{found}"
    );
    result
}

async fn update(manager: &Manager, inputs: Value) -> Value {
    let path = "deployment-updates/whole/update/initiate";
    let (status, update) = manager
        .call("POST", path, Some(json!({ "inputs": inputs })))
        .await;
    assert_eq!(status, 200, "{update}");
    manager.end(update["execution_id"].as_str().unwrap()).await
}

async fn labels(manager: &Manager) -> Vec<String> {
    let part = manager.get("deployments/part").await;
    let text = |label: &Value| {
        let part = |name: &str| label[name].as_str().unwrap();
        format!("{}={}", part("key"), part("value"))
    };
    let mut labels: Vec<String> = part["labels"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    labels.sort();
    labels
}

async fn installed(at: &std::path::Path) -> Manager {
    let part = PART.replace("AT", at.to_str().unwrap());
    let part = String::from_utf8(archive("blueprint.yaml", &part)).unwrap();
    let manager = Manager::new().await;
    let files = [("blueprint.yaml", WHOLE), ("part.tar", part.as_str())];
    manager.deploy("whole", &files).await;
    let end = run(&manager, "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    manager
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_follows_what_is_said_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let manager = installed(directory.path()).await;
    assert_eq!(drift(&manager).await, Value::Null);
    let own = "executions?deployment_id=part&workflow_id=check_drift";
    assert_eq!(manager.list(own).await.len(), 1);

    // somebody has painted it
    let path = "deployments/part";
    let painted = json!({"labels": [{"csys-obj-parent": "whole"}, {"colour": "red"}, {"x": "y"}]});
    let (status, answer) = manager.call("PATCH", path, Some(painted)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(drift(&manager).await, json!({"deployment": ["labels"]}));
    assert_eq!(
        manager.get("deployments/whole").await["drifted_instances"],
        1
    );
    let (status, _) = manager
        .call(
            "PATCH",
            "blueprints/part-blueprint",
            Some(json!({"labels": []})),
        )
        .await;
    assert_eq!(status, 200);
    let both = json!({"deployment": ["labels"], "blueprint": ["labels"]});
    assert_eq!(drift(&manager).await, both);

    // it follows, and stays what it is
    let end = update(&manager, json!({"size": 5})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let part = manager.get("deployments/part").await;
    assert_eq!(part["inputs"], json!({"size": 5}), "{part}");
    assert_eq!(
        labels(&manager).await,
        ["colour=green", "csys-obj-parent=whole", "x=y"]
    );
    let offered = manager.get("deployments/whole/capabilities").await;
    assert_eq!(offered["capabilities"], json!({"size": 5}));
    let installs = "executions?deployment_id=part&workflow_id=install";
    assert_eq!(manager.list(installs).await.len(), 1);
    assert_eq!(drift(&manager).await, Value::Null);

    // another blueprint
    let end = update(&manager, json!({"blueprint": "other-blueprint"})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let part = manager.get("deployments/part").await;
    assert_eq!(part["blueprint_id"], "other-blueprint", "{part}");
    let blueprint = manager.get("blueprints/other-blueprint").await;
    assert_eq!(blueprint["labels"][0]["key"], "made", "{blueprint}");
    assert_eq!(drift(&manager).await, Value::Null);

    // what cannot be followed in place is made anew
    let end = update(&manager, json!({"name": "renamed"})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let (status, _) = manager.call("GET", "deployments/part", None).await;
    assert_eq!(status, 404);
    let part = manager.get("deployments/renamed").await;
    assert_eq!(part["installation_status"], "active", "{part}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_heals_itself() {
    let directory = tempfile::tempdir().unwrap();
    let manager = installed(directory.path()).await;
    let end = run(&manager, "check_status").await;
    assert_eq!(end["status"], "terminated", "{end}");
    let ill = directory.path().join("ill");
    std::fs::write(&ill, "").unwrap();
    let end = run(&manager, "check_status").await;
    assert_eq!(end["status"], "failed", "{end}");
    assert_eq!(instance(&manager).await["is_status_check_ok"], false);
    let end = run(&manager, "heal").await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert!(!ill.exists());
    assert_eq!(instance(&manager).await["is_status_check_ok"], true);
    let heals = manager
        .list("executions?deployment_id=part&workflow_id=heal")
        .await;
    assert_eq!(heals.len(), 1, "{heals:?}");
    // it is the deployment it was
    let deletions = "executions?workflow_id=delete_deployment_environment";
    assert_eq!(manager.list(deletions).await.len(), 0);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_brings_its_plugins_along() {
    let directory = tempfile::tempdir().unwrap();
    let part = PART.replace("AT", directory.path().to_str().unwrap());
    let plugins = "    properties:\n      plugins:\n        \
                   demo: {wagon_path: demo.wgn, plugin_yaml_path: demo.yaml}\n        \
                   known: {wagon_path: known.wgn, plugin_yaml_path: demo.yaml}\n";
    let whole = WHOLE.replacen("    properties:\n", plugins, 1);
    let wagon = |package| Wagon {
        package,
        version: "1.0",
        tasks: "",
    };
    let manager = Manager::new().await;
    let known = wagon("known-plugin").with_yaml("plugins: {}\n");
    manager.upload_plugin(known).await;
    let files = [
        ("blueprint.yaml", whole.into_bytes()),
        ("part.tar", archive("blueprint.yaml", &part)),
        ("demo.wgn", wagon("demo-plugin").build()),
        ("known.wgn", wagon("known-plugin").build()),
        ("demo.yaml", b"plugins: {}\n".to_vec()),
    ];
    manager.deploy("whole", &files).await;
    let names = async || {
        let listed = manager.list("plugins").await;
        let name = |one: &Value| one["package_name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = listed.iter().map(name).collect();
        names.sort();
        names
    };
    let end = run(&manager, "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(names().await, ["demo-plugin", "known-plugin"]);
    let end = run(&manager, "uninstall").await;
    assert_eq!(end["status"], "terminated", "{end}");
    // what was there before stays
    assert_eq!(names().await, ["known-plugin"]);
    let found = instance(&manager).await;
    assert!(
        found["runtime_properties"].get("plugins").is_none(),
        "{found}"
    );
    manager.stop().await;
}
