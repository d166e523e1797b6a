//! Dry runs: they tell what would be done, and do nothing.
use serde_json::{Value, json};

use crate::support::manager::Manager;

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  tough:
    type: cloudify.nodes.Root
    interfaces: &healing
      cloudify.interfaces.validation:
        check_status: {implementation: check.sh, executor: central_deployment_agent}
      cloudify.interfaces.lifecycle:
        create: {implementation: step.sh, executor: central_deployment_agent}
        delete: {implementation: step.sh, executor: central_deployment_agent}
        heal: {implementation: step.sh, executor: central_deployment_agent}
  frail:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: tough}]
    interfaces:
      cloudify.interfaces.validation:
        check_status: {implementation: check.sh, executor: central_deployment_agent}
      cloudify.interfaces.lifecycle:
        create: {implementation: step.sh, executor: central_deployment_agent}
        delete: {implementation: step.sh, executor: central_deployment_agent}
";

/// All of a deployment that a dry run must leave alone.
async fn everything(manager: &Manager) -> Vec<Value> {
    let mut all = Vec::new();
    for list in ["node-instances", "nodes", "deployment-modifications"] {
        all.extend(manager.list(&format!("{list}?deployment_id=dep")).await);
    }
    let deployment = manager.get("deployments/dep").await;
    for field in [
        "installation_status",
        "scaling_groups",
        "capabilities",
        "blueprint_id",
    ] {
        all.push(deployment[field].clone());
    }
    all
}

/// Runs a workflow dry; the texts of its events.
async fn pretended(manager: &Manager, workflow: &str, parameters: Value) -> Vec<String> {
    let before = everything(manager).await;
    let more = json!({"parameters": parameters, "dry_run": true});
    let id = manager.start("dep", workflow, more).await;
    let end = manager.end(&id).await;
    assert_eq!(end["status"], "terminated", "{workflow}: {end}");
    assert_eq!(end["is_dry_run"], true, "{end}");
    assert_eq!(everything(manager).await, before, "{workflow}");
    let told = manager.told(&id).await;
    let first = format!("Starting '{workflow}' workflow execution (dry run)");
    let last = format!("'{workflow}' workflow execution succeeded (dry run)");
    assert_eq!(told.first(), Some(&first), "{told:?}");
    assert_eq!(told.last(), Some(&last), "{told:?}");
    for text in &told {
        if text.starts_with("Task started") {
            assert!(text.contains("(dry run)"), "{text}");
        }
    }
    told
}

fn tells(told: &[String], words: &str) -> bool {
    told.iter().any(|text| text.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_tell_and_do_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let step = format!("#!/bin/bash\necho step >> {}/steps\n", at.display());
    let check = format!(
        "#!/bin/bash\necho check >> {0}/steps\ntest ! -e {0}/ill\n",
        at.display()
    );
    let files = [
        ("blueprint.yaml", BLUEPRINT),
        ("step.sh", step.as_str()),
        ("check.sh", check.as_str()),
    ];
    let done = || {
        let text = std::fs::read_to_string(at.join("steps"));
        text.unwrap_or_default().lines().count()
    };
    let manager = Manager::new().await;
    manager.deploy("dep", &files).await;
    let told = pretended(&manager, "install", json!({})).await;
    assert!(tells(&told, "Node instance started"), "{told:?}");
    assert!(
        tells(&told, "Task started 'script_runner.tasks.run"),
        "{told:?}"
    );
    assert_eq!(done(), 0);

    let install = manager.start("dep", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    std::fs::write(at.join("ill"), "").unwrap();
    let check = manager.start("dep", "check_status", json!({})).await;
    assert_eq!(manager.end(&check).await["status"], "failed");
    let before = done();

    let told = pretended(&manager, "heal", json!({})).await;
    assert!(tells(&told, "Healing node instance"), "{told:?}");
    // it cannot heal, so it would be installed anew
    assert!(tells(&told, "Deleting node instance"), "{told:?}");
    assert!(tells(&told, "Subgraph started 'install_frail_"), "{told:?}");
    let more = json!({"scalable_entity_name": "frail", "delta": 2});
    let told = pretended(&manager, "scale", more).await;
    assert_eq!(told.len(), 2, "{told:?}");
    let fewer = json!({"scalable_entity_name": "frail", "delta": -1, "abort_started": true});
    pretended(&manager, "scale", fewer).await;
    let operation = json!({
        "operation": "cloudify.interfaces.lifecycle.heal", "node_ids": ["tough"],
    });
    let told = pretended(&manager, "execute_operation", operation).await;
    let starting = "Starting operation cloudify.interfaces.lifecycle.heal";
    assert!(tells(&told, starting), "{told:?}");
    for (workflow, parameters) in [
        ("check_status", json!({})),
        ("check_drift", json!({})),
        ("rollback", json!({"full_rollback": true})),
        ("reinstall", json!({})),
        ("uninstall", json!({})),
    ] {
        pretended(&manager, workflow, parameters).await;
    }
    assert_eq!(done(), before);
    // and they stand in nobody's way
    std::fs::remove_file(at.join("ill")).unwrap();
    let uninstall = manager.start("dep", "uninstall", json!({})).await;
    assert_eq!(manager.end(&uninstall).await["status"], "terminated");
    assert_eq!(done(), before + 2);
    manager.stop().await;
}
