//! Instances that are asked how they are, cure themselves, or are installed anew.
use std::path::Path;

use serde_json::{Value, json};

use crate::support::manager::Manager;

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host: {type: cloudify.nodes.Root}
  tough:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
    interfaces:
      cloudify.interfaces.validation:
        check_status: {implementation: check.sh, executor: central_deployment_agent}
      cloudify.interfaces.lifecycle:
        create: {implementation: create.sh, executor: central_deployment_agent}
        heal: {implementation: heal.sh, executor: central_deployment_agent, max_retries: 0}
  frail:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.validation:
        check_status: {implementation: check.sh, executor: central_deployment_agent}
      cloudify.interfaces.lifecycle:
        create: {implementation: create.sh, executor: central_deployment_agent}
";

const NAME: &str = "name=$(ctx node name)\n";

async fn installed(directory: &Path) -> Manager {
    let manager = Manager::new().await;
    let at = directory.display();
    // an illness is a file; what is created is well
    let check = format!("#!/bin/bash\n{NAME}test ! -e {at}/$name\n");
    let create = format!("#!/bin/bash\n{NAME}rm -f {at}/$name\necho $name >> {at}/created\n");
    let heal = format!("#!/bin/bash\n{NAME}test ! -e {at}/incurable || exit 3\nrm {at}/$name\n");
    let files = [
        ("blueprint.yaml", BLUEPRINT),
        ("check.sh", &check),
        ("create.sh", &create),
        ("heal.sh", &heal),
    ];
    manager.deploy("dep", &files).await;
    let install = manager.start("dep", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    manager
}

async fn run(manager: &Manager, workflow: &str, parameters: Value) -> Value {
    let more = json!({ "parameters": parameters });
    manager.run("dep", workflow, more).await
}

async fn instance(manager: &Manager, node: &str) -> Value {
    manager.instance("dep", node).await
}

fn created(directory: &Path, node: &str) -> usize {
    let text = std::fs::read_to_string(directory.join("created")).unwrap();
    text.lines().filter(|line| *line == node).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ill_are_cured_or_installed_anew() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let end = run(&manager, "heal", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!((created(at, "tough"), created(at, "frail")), (1, 1));
    assert_eq!(
        instance(&manager, "tough").await["is_status_check_ok"],
        true
    );

    for node in ["tough", "frail"] {
        std::fs::write(at.join(node), "").unwrap();
    }
    let end = run(&manager, "check_status", json!({})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let frail = instance(&manager, "frail").await;
    assert_eq!(frail["is_status_check_ok"], false, "{frail}");
    assert_eq!(frail["system_properties"]["status"]["ok"], false, "{frail}");
    let unavailable = manager.get("deployments/dep").await["unavailable_instances"].clone();
    assert_eq!(unavailable, 2);

    let end = run(&manager, "heal", json!({"allow_reinstall": false})).await;
    assert_eq!(end["status"], "failed", "{end}");
    assert!(
        end["error"].as_str().unwrap().contains("allow_reinstall"),
        "{end}"
    );

    let end = run(&manager, "heal", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!((created(at, "tough"), created(at, "frail")), (1, 2));
    for node in ["tough", "frail"] {
        let instance = instance(&manager, node).await;
        assert_eq!(instance["is_status_check_ok"], true, "{instance}");
        assert_eq!(instance["state"], "started");
    }
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_incurable_are_installed_anew_with_what_is_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    std::fs::write(at.join("incurable"), "").unwrap();
    std::fs::write(at.join("tough"), "").unwrap();
    let end = run(&manager, "heal", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!((created(at, "tough"), created(at, "frail")), (2, 1));
    let tough = instance(&manager, "tough").await;
    assert!(
        tough["system_properties"].get("heal_failed").is_none(),
        "{tough}"
    );
    let id = tough["id"].as_str().unwrap();
    let end = run(
        &manager,
        "heal",
        json!({"node_instance_id": id, "force_reinstall": true}),
    )
    .await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!((created(at, "tough"), created(at, "frail")), (3, 1));
    manager.stop().await;
}
