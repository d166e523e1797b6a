//! Executions from the request to their end, over HTTP, RabbitMQ and the worker.

mod blueprints;
mod claims;
mod cold;
mod component_changes;
mod components;
mod defaults;
mod dependencies;
mod drift;
mod dry_runs;
mod elsewhere;
mod healing;
mod inputs;
mod rollback;
mod scaling;
mod shared_resources;
mod two_managers;
mod updating;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::manager::Manager;

/// Nodes without operations.
const PLAIN: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  many:
    type: cloudify.nodes.Root
    capabilities: {scalable: {properties: {default_instances: 100}}}
  top:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: many}]
";

/// One node whose creation fails until its marker is there.
const SCRIPTED: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  app:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create:
          implementation: create.sh
          executor: central_deployment_agent
          max_retries: 0
        start: {implementation: start.sh, executor: central_deployment_agent}
";

const START: &str = "#!/bin/bash\nctx instance runtime-properties started yes\n";

fn states(instances: &[Value]) -> Vec<&str> {
    let mut states: Vec<&str> = instances
        .iter()
        .map(|i| i["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    states.dedup();
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_without_operations_are_installed_at_once_and_go_again() {
    let manager = Manager::new().await;
    manager.deploy("plain", &[("blueprint.yaml", PLAIN)]).await;
    let began = Instant::now();
    let install = manager.start("plain", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(end["total_operations"], 303);
    assert_eq!(end["finished_operations"], 303);
    let instances = manager.list("node-instances?deployment_id=plain").await;
    assert_eq!(
        (instances.len(), states(&instances)),
        (101, vec!["started"])
    );
    let deployment = manager.get("deployments/plain").await;
    assert_eq!(deployment["installation_status"], "active");
    assert_eq!(deployment["deployment_status"], "good");
    assert_eq!(deployment["latest_execution"], install.as_str());
    let told = manager.told(&install).await;
    assert_eq!(told[0], "Starting 'install' workflow execution");
    assert_eq!(
        told.last().unwrap(),
        "'install' workflow execution succeeded"
    );
    let top = told
        .iter()
        .position(|text| text.starts_with("Subgraph started 'install_top_"));
    let many = told
        .iter()
        .rposition(|text| text.starts_with("Subgraph succeeded 'install_many_"));
    assert!(many < top, "the dependent comes last");
    let again = json!({"deployment_id": "plain", "workflow_id": "install"});
    let (status, refused) = manager.call("POST", "executions", Some(again)).await;
    assert_eq!(
        (status, &refused["error_code"]),
        (400, &json!("unavailable_workflow_error"))
    );
    let uninstall = manager.start("plain", "uninstall", json!({})).await;
    assert_eq!(manager.end(&uninstall).await["status"], "terminated");
    let instances = manager.list("node-instances?deployment_id=plain").await;
    assert_eq!(states(&instances), ["deleted"]);
    let (status, _) = manager.call("DELETE", "deployments/plain", None).await;
    assert!(status < 300);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_fails_the_execution_and_resuming_runs_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("may-create");
    let create = format!("#!/bin/bash\ntest -e {} || exit 7\n", marker.display());
    let files = [
        ("blueprint.yaml", SCRIPTED),
        ("create.sh", create.as_str()),
        ("start.sh", START),
    ];
    let manager = Manager::new().await;
    manager.deploy("scripted", &files).await;
    let install = manager.start("scripted", "install", json!({})).await;
    let failed = manager.end(&install).await;
    assert_eq!(failed["status"], "failed");
    let error = failed["error"].as_str().unwrap();
    assert!(
        error.starts_with("Task failed: script_runner.tasks.run (app_"),
        "{error}"
    );
    let deployment = manager.get("deployments/scripted").await;
    assert_eq!(deployment["deployment_status"], "requires_attention");

    let manager = manager.restart().await;
    std::fs::write(&marker, "").unwrap();
    let position = manager.position().await;
    let resume = Some(json!({"action": "resume"}));
    let (status, resumed) = manager
        .call("POST", &format!("executions/{install}"), resume)
        .await;
    assert_eq!(
        (status, &resumed["status"]),
        (200, &json!("pending")),
        "{resumed}"
    );
    let execution = manager.end_after(&install, position).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert!(execution["resume"].as_bool().unwrap());
    let instances = manager.list("node-instances?deployment_id=scripted").await;
    assert_eq!(
        instances[0]["runtime_properties"],
        json!({"started": "yes"})
    );
    manager.stop().await;
}
