//! Relationships to shared resources have workflows run there; what is shared can be checked.
use serde_json::{Value, json};

use crate::support::manager::Manager;

const SHARED: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs: {address: {default: 10.0.0.1}}
node_templates:
  inner:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.validation:
        check_status: {implementation: check.sh, executor: central_deployment_agent}
      test:
        poke: {implementation: poke.sh, executor: central_deployment_agent, inputs: {by: {default: nobody}}}
capabilities:
  address: {value: {get_input: address}}
workflows:
  poke:
    mapping: default_workflows.cloudify.plugins.workflows.execute_operation
    parameters:
      operation: {default: test.poke}
      operation_kwargs: {default: {}}
      allow_kwargs_override: {default: true}
";

const USER: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  resource:
    type: cloudify.nodes.SharedResource
    properties: {resource_config: {deployment: {id: shared}}}
  one: &app
    type: cloudify.nodes.Root
    relationships:
      - type: cloudify.relationships.connected_to_shared_resource
        target: resource
        target_interfaces:
          cloudify.interfaces.relationship_lifecycle:
            establish:
              inputs: {workflow_id: poke, parameters: {operation_kwargs: {by: comer}}, timeout: 60}
            unlink:
              inputs: {workflow_id: poke, parameters: {operation_kwargs: {by: goer}}, timeout: 60}
  two: *app
";

async fn run(manager: &Manager, deployment: &str, workflow: &str) -> Value {
    manager.run(deployment, workflow, json!({})).await
}

async fn resource(manager: &Manager) -> Value {
    manager.instance("user", "resource").await
}

#[tokio::test(flavor = "multi_thread")]
async fn relationships_have_the_shared_deployment_run_workflows() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let poke = format!("#!/bin/bash\necho $by >> {at}/pokes\n");
    let check = format!("#!/bin/bash\ntest ! -e {at}/ill\n");
    let files = [
        ("blueprint.yaml", SHARED),
        ("poke.sh", poke.as_str()),
        ("check.sh", check.as_str()),
    ];
    let manager = Manager::new().await;
    manager.deploy("shared", &files).await;
    let end = run(&manager, "shared", "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    manager.deploy("user", &[("blueprint.yaml", USER)]).await;
    let pokes = || std::fs::read_to_string(directory.path().join("pokes")).unwrap();
    let end = run(&manager, "user", "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(pokes(), "comer\ncomer\n");
    // the instances at both ends keep nothing of it
    let instances = manager.list("node-instances?deployment_id=user").await;
    for instance in &instances {
        let runtime = instance["runtime_properties"].as_object().unwrap();
        let has = |name: &&String| name.contains("execution") || name.contains("received_events_");
        assert_eq!(runtime.keys().find(has), None, "{instance}");
    }
    let logs = manager
        .list("events?deployment_id=user&type=cloudify_log")
        .await;
    let passed_on = "[shared] 'poke' workflow execution succeeded";
    assert_eq!(
        logs.iter()
            .filter(|log| log["message"] == passed_on)
            .count(),
        2
    );

    // nothing has changed, and all is well
    for workflow in ["check_drift", "check_status"] {
        let end = run(&manager, "user", workflow).await;
        assert_eq!(end["status"], "terminated", "{end}");
        let query = format!("executions?deployment_id=shared&workflow_id={workflow}");
        assert_eq!(manager.list(&query).await.len(), 1);
    }
    let found = resource(&manager).await;
    assert_eq!(found["has_configuration_drift"], false, "{found}");
    assert_eq!(found["is_status_check_ok"], true, "{found}");

    // what the other deployment offers is no longer what it was
    let update = json!({"inputs": {"address": "10.0.0.2"}, "force": true});
    let path = "deployment-updates/shared/update/initiate";
    let (status, update) = manager.call("POST", path, Some(update)).await;
    assert_eq!(status, 200, "{update}");
    let end = manager.end(update["execution_id"].as_str().unwrap()).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let end = run(&manager, "user", "check_drift").await;
    assert_eq!(end["status"], "terminated", "{end}");
    let found = resource(&manager).await;
    let drift = &found["system_properties"]["configuration_drift"]["result"];
    assert_eq!(drift, &json!({"capabilities": ["address"]}), "{found}");
    assert_eq!(
        manager.get("deployments/user").await["drifted_instances"],
        1
    );

    // its illness is that of its users
    std::fs::write(directory.path().join("ill"), "").unwrap();
    let end = run(&manager, "user", "check_status").await;
    assert_eq!(end["status"], "failed", "{end}");
    assert_eq!(resource(&manager).await["is_status_check_ok"], false);
    std::fs::remove_file(directory.path().join("ill")).unwrap();

    let end = run(&manager, "user", "uninstall").await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(pokes(), "comer\ncomer\ngoer\ngoer\n");
    manager.stop().await;
}
