//! Deployments that contain others, and deployments that share one.
use serde_json::{Value, json};

use crate::{
    rest::archive,
    support::manager::{Manager, until},
};

const PART: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs:
  size: {type: integer}
node_templates:
  inner: {type: cloudify.nodes.Root}
capabilities:
  size: {value: {get_input: size}}
";

const WHOLE: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  part:
    type: cloudify.nodes.Component
    properties:
      resource_config:
        blueprint: {id: part-blueprint, blueprint_archive: part.tar}
        deployment: {id: part, inputs: {size: 3}, labels: [{colour: green}]}
      secrets: {part-secret: sesame}
  password:
    type: cloudify.nodes.PasswordSecret
    properties: {length: 10, digits: 2, secret_name: made-up}
capabilities:
  size: {value: {get_attribute: [part, capabilities, size]}}
";

const SHARED: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  inner: {type: cloudify.nodes.Root}
capabilities:
  address: {value: 10.0.0.1}
";

const USER: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  resource:
    type: cloudify.nodes.SharedResource
    properties: {resource_config: {deployment: {id: shared}}}
capabilities:
  address: {value: {get_attribute: [resource, capabilities, address]}}
";

async fn run(manager: &Manager, deployment: &str, workflow: &str) {
    let end = manager.run(deployment, workflow, json!({})).await;
    assert_eq!(
        end["status"], "terminated",
        "{workflow} of {deployment}: {end}"
    );
}

async fn status_of(manager: &Manager, path: &str) -> u16 {
    manager.call("GET", path, None).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_lives_and_dies_with_its_node() {
    let manager = Manager::new().await;
    // nothing but text and NULs
    let part = String::from_utf8(archive("blueprint.yaml", PART)).unwrap();
    let files = [("blueprint.yaml", WHOLE), ("part.tar", part.as_str())];
    manager.deploy("whole", &files).await;
    run(&manager, "whole", "install").await;
    // it is there, and offers what it has
    let part = manager.get("deployments/part").await;
    assert_eq!(part["blueprint_id"], "part-blueprint");
    assert_eq!(part["installation_status"], "active");
    let labels = part["labels"].as_array().unwrap();
    let has = |key: &str, value: &str| {
        let is_it = |label: &&Value| label["key"] == key && label["value"] == value;
        labels.iter().any(|label| is_it(&label))
    };
    assert!(
        has("csys-obj-parent", "whole") && has("colour", "green"),
        "{labels:?}"
    );
    assert!(!has("csys-consumer-id", "whole"), "{labels:?}");
    let offered = manager.get("deployments/whole/capabilities").await;
    assert_eq!(offered["capabilities"], json!({"size": 3}));
    let dependencies = manager
        .list("deployments/inter-deployment-dependencies")
        .await;
    let [dependency] = &dependencies[..] else {
        panic!("{dependencies:?}");
    };
    let creator = dependency["dependency_creator"].as_str().unwrap();
    assert!(creator.starts_with("component.part_"), "{creator}");
    assert_eq!(dependency["target_deployment_id"], "part");
    for path in ["secrets/part-secret", "secrets/made-up"] {
        assert_eq!(status_of(&manager, path).await, 200);
    }
    let logs = manager
        .list("events?deployment_id=whole&type=cloudify_log")
        .await;
    let passed_on = |log: &Value| {
        let message = log["message"].as_str().unwrap();
        message == "[part] 'install' workflow execution succeeded"
    };
    assert!(logs.iter().any(passed_on), "{logs:?}");
    // it cannot be taken away from its owner
    let body = json!({"deployment_id": "part", "workflow_id": "uninstall"});
    let (refused, answer) = manager.call("POST", "executions", Some(body)).await;
    assert_eq!(refused, 400);
    let message = answer["message"].as_str().unwrap();
    let expected = "Deployment `whole` contains the current deployment in its node `part_";
    assert!(message.contains(expected), "{message}");
    // it goes with its node
    run(&manager, "whole", "uninstall").await;
    for path in [
        "deployments/part",
        "blueprints/part-blueprint",
        "secrets/part-secret",
        "secrets/made-up",
    ] {
        assert_eq!(status_of(&manager, path).await, 404, "{path}");
    }
    let left = manager
        .list("deployments/inter-deployment-dependencies")
        .await;
    assert_eq!(left, [Value::Null; 0]);
    // and comes again
    run(&manager, "whole", "install").await;
    assert_eq!(status_of(&manager, "deployments/part").await, 200);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_on_demand_is_installed_for_its_first_user_only() {
    let manager = Manager::new().await;
    manager
        .deploy("shared", &[("blueprint.yaml", SHARED)])
        .await;
    for id in ["one", "two"] {
        manager.deploy(id, &[("blueprint.yaml", USER)]).await;
    }
    let refused = manager.start("one", "install", json!({})).await;
    let end = manager.end(&refused).await;
    let error = end["error"].as_str().unwrap();
    assert!(
        error.contains("the deployment `shared` is not installed"),
        "{error}"
    );
    let labels = json!({"labels": [{"csys-obj-type": "on-demand-resource"}]});
    let patched = manager
        .call("PATCH", "deployments/shared", Some(labels))
        .await;
    assert_eq!(patched.0, 200, "{}", patched.1);
    let installed = async || {
        let shared = manager.get("deployments/shared").await;
        shared["installation_status"] == "active"
    };
    let resume = json!({"action": "resume"});
    let path = format!("executions/{refused}");
    let position = manager.position().await;
    assert_eq!(manager.call("POST", &path, Some(resume)).await.0, 200);
    let end = manager.end_after(&refused, position).await;
    assert_eq!(end["status"], "terminated", "{end}");
    run(&manager, "two", "install").await;
    assert!(installed().await);
    let offered = manager.get("deployments/two/capabilities").await;
    assert_eq!(offered["capabilities"], json!({"address": "10.0.0.1"}));
    run(&manager, "one", "uninstall").await;
    assert!(installed().await);
    run(&manager, "two", "uninstall").await;
    until(async || !installed().await).await;
    manager.stop().await;
}

/// One node whose creation waits for a file.
const SLOW: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  inner:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create:
          implementation: |
            #!/bin/bash
            touch MARKER.began
            while [ ! -e MARKER ]; do sleep 0.1; done
          executor: central_deployment_agent
";

const AROUND: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  part:
    type: cloudify.nodes.ServiceComponent
    properties:
      resource_config:
        blueprint: {id: slow, external_resource: true}
        deployment: {id: part}
";

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_reaches_components() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("go-on");
    let slow = SLOW.replace("MARKER", marker.to_str().unwrap());
    let manager = Manager::new().await;
    manager.deploy("slow", &[("blueprint.yaml", &slow)]).await;
    manager.deploy("whole", &[("blueprint.yaml", AROUND)]).await;
    let install = manager.start("whole", "install", json!({})).await;
    let inner = "executions?deployment_id=part&workflow_id=install";
    // what has not begun is cancelled at once
    until(async || directory.path().join("go-on.began").exists()).await;
    let cancel = json!({"action": "cancel"});
    let path = format!("executions/{install}");
    let (status, answer) = manager.call("POST", &path, Some(cancel)).await;
    assert_eq!((status, &answer["status"]), (200, &json!("cancelling")));
    let inner = manager.list(inner).await;
    assert_eq!(inner[0]["status"], "cancelling");
    std::fs::write(&marker, "").unwrap();
    let inner = manager.end(inner[0]["id"].as_str().unwrap()).await;
    assert_eq!(inner["status"], "cancelled");
    assert_eq!(manager.end(&install).await["status"], "cancelled");
    // the blueprint was there before, so it stays
    run(&manager, "whole", "uninstall").await;
    assert_eq!(status_of(&manager, "deployments/part").await, 404);
    assert_eq!(status_of(&manager, "blueprints/slow").await, 200);
    manager.stop().await;
}

/// A node that notes that it was poked, and the workflow that pokes: everything below, too.
const POKED: &str = "
  poked:
    type: cloudify.nodes.Root
    interfaces:
      test:
        poke:
          implementation: |
            #!/bin/bash
            ctx instance runtime-properties poked yes
          executor: central_deployment_agent
workflows:
  poke:
    mapping: default_workflows.cloudify.plugins.workflows.execute_operation
    is_cascading: true
    parameters:
      operation: {default: test.poke}
      operation_kwargs: {default: {}}
      allow_kwargs_override: {default: null}
      run_by_dependency_order: {default: false}
      type_names: {default: []}
      node_ids: {default: [poked]}
      node_instance_ids: {default: []}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_cascading_workflow_begins_in_components_when_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("go-on");
    let slow = SLOW.replace("MARKER", marker.to_str().unwrap()) + POKED;
    let around = AROUND.to_owned() + POKED;
    let manager = Manager::new().await;
    manager.deploy("slow", &[("blueprint.yaml", &slow)]).await;
    manager
        .deploy("whole", &[("blueprint.yaml", &around)])
        .await;
    let install = manager.start("whole", "install", json!({})).await;
    until(async || directory.path().join("go-on.began").exists()).await;
    let of_part = "executions?deployment_id=part&workflow_id=poke";
    let poke = manager.start("whole", "poke", json!({"queue": true})).await;
    let waiting = manager.get(&format!("executions/{poke}")).await;
    assert_eq!(waiting["status"], "queued", "{waiting}");
    assert_eq!(manager.list(of_part).await.len(), 0);

    std::fs::write(&marker, "").unwrap();
    for execution in [&install, &poke] {
        let end = manager.end(execution).await;
        assert_eq!(end["status"], "terminated", "{end}");
    }
    let [inner] = &manager.list(of_part).await[..] else {
        panic!("one execution in the component");
    };
    assert_eq!(inner["created_by"], "admin");
    let end = manager.end(inner["id"].as_str().unwrap()).await;
    assert_eq!(end["status"], "terminated", "{end}");
    for deployment in ["whole", "part"] {
        let query = format!("node-instances?deployment_id={deployment}&node_id=poked");
        let poked = manager.list(&query).await.remove(0);
        assert_eq!(poked["runtime_properties"]["poked"], "yes", "{poked}");
    }
    run(&manager, "whole", "poke").await;
    assert_eq!(manager.list(of_part).await.len(), 2);
    manager.stop().await;
}
