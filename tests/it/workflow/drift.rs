//! `check_drift`: what is found out stands with instances, nodes and deployments.
use serde_json::{Value, json};

use crate::support::manager::Manager;

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  plain: {type: cloudify.nodes.Root}
  steady:
    type: cloudify.nodes.Root
    interfaces: &checked
      cloudify.interfaces.lifecycle:
        check_drift:
          implementation: check.sh
          executor: central_deployment_agent
          max_retries: 0
  loose:
    type: cloudify.nodes.Root
    interfaces: *checked
  user:
    type: cloudify.nodes.Root
    relationships:
      - type: cloudify.relationships.connected_to
        target: plain
        source_interfaces: &related
          cloudify.interfaces.relationship_lifecycle:
            check_drift:
              implementation: related.sh
              executor: central_deployment_agent
              max_retries: 0
        target_interfaces: *related
";

async fn check(manager: &Manager, parameters: Value) -> Value {
    let more = json!({ "parameters": parameters });
    manager.run("dep", "check_drift", more).await
}

async fn instance(manager: &Manager, node: &str) -> Value {
    manager.instance("dep", node).await
}

/// Nodes whose instance has drifted, and how many the deployment says.
async fn drifted(manager: &Manager) -> (Vec<String>, i64) {
    let mut found = Vec::new();
    for node in manager.list("nodes?deployment_id=dep").await {
        let id = node["id"].as_str().unwrap();
        let has = instance(manager, id).await["has_configuration_drift"] == true;
        assert_eq!(node["drifted_instances"], i64::from(has), "{node}");
        if has {
            found.push(id.to_owned());
        }
    }
    found.sort();
    let deployment = manager.get("deployments/dep").await;
    (found, deployment["drifted_instances"].as_i64().unwrap())
}

/// Installed, with checks that find what files in a directory say.
async fn installed(at: &std::path::Path) -> Manager {
    let check_sh = format!(
        "#!/bin/bash\nname=$(ctx node name)\ntest ! -e {0}/broken || exit 3\n\
         if [ -e {0}/$name ]; then ctx returns \"$name differs\"; fi\n",
        at.display()
    );
    let related_sh = format!(
        "#!/bin/bash\nif [ -e {}/related ]; then ctx returns apart; fi\n",
        at.display()
    );
    let files = [
        ("blueprint.yaml", BLUEPRINT),
        ("check.sh", &check_sh),
        ("related.sh", &related_sh),
    ];
    let manager = Manager::new().await;
    manager.deploy("dep", &files).await;
    let install = manager.start("dep", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    manager
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_stands_with_instances_nodes_and_deployments() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;

    // none
    let end = check(&manager, json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(drifted(&manager).await, (vec![], 0));
    let steady = instance(&manager, "steady").await;
    let drift = &steady["system_properties"]["configuration_drift"];
    assert_eq!(
        (&drift["ok"], &drift["result"]),
        (&json!(true), &Value::Null),
        "{drift}"
    );
    assert_eq!(drift["task"], "script_runner.tasks.run", "{drift}");
    assert!(
        drift["timestamp"].as_str().unwrap().starts_with("20"),
        "{drift}"
    );
    // without an operation nothing is said
    let plain = instance(&manager, "plain").await;
    let properties = plain["system_properties"].as_object().unwrap();
    assert!(!properties.contains_key("configuration_drift"), "{plain}");

    // some, in an instance and at both ends of a relationship
    for name in ["loose", "related"] {
        std::fs::write(at.join(name), "").unwrap();
    }
    let end = check(&manager, json!({"node_ids": ["steady"]})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(drifted(&manager).await, (vec![], 0));
    let end = check(&manager, json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let expected = ["loose", "plain", "user"].map(str::to_owned);
    assert_eq!(drifted(&manager).await, (expected.to_vec(), 3));
    let loose = instance(&manager, "loose").await;
    let drift = &loose["system_properties"]["configuration_drift"];
    assert_eq!(
        (&drift["ok"], &drift["result"]),
        (&json!(true), &json!("loose differs"))
    );
    let (user, plain) = (
        instance(&manager, "user").await,
        instance(&manager, "plain").await,
    );
    for (one, other, kind) in [
        (&user, &plain, "source_relationships_configuration_drift"),
        (&plain, &user, "target_relationships_configuration_drift"),
    ] {
        let drift = &one["system_properties"][kind][other["id"].as_str().unwrap()];
        assert_eq!(drift["result"], "apart", "{one}");
    }

    // a check that fails finds nothing out, and says so
    std::fs::write(at.join("broken"), "").unwrap();
    let end = check(&manager, json!({"node_ids": ["loose"]})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let loose = instance(&manager, "loose").await;
    let drift = &loose["system_properties"]["configuration_drift"];
    assert_eq!(drift["ok"], false, "{drift}");
    assert!(drift["result"].is_string(), "{drift}");

    // and it passes
    for name in ["loose", "related", "broken"] {
        std::fs::remove_file(at.join(name)).unwrap();
    }
    let end = check(&manager, json!({"run_by_dependency_order": false})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(drifted(&manager).await, (vec![], 0));
    manager.stop().await;
}
