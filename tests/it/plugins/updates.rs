//! Deployments that come to other versions of their plugins.
use serde_json::{Value, json};

use super::{FILES, plugin};
use crate::support::manager::Manager;

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml, 'plugin:demo-plugin']
node_templates:
  app: {type: demo.nodes.App}
";

async fn manager() -> Manager {
    let manager = Manager::new().await;
    manager.upload_plugin(plugin("1.2")).await;
    let files = [("blueprint.yaml", BLUEPRINT), FILES[1]];
    manager.deploy("one", &files).await;
    let body = json!({"blueprint_id": "one"});
    let (status, created) = manager.call("PUT", "deployments/two", Some(body)).await;
    assert_eq!(status, 201, "{created}");
    manager
}

/// The update at the end of its execution.
async fn updated(manager: &Manager, body: Value) -> Value {
    let path = "plugins-updates/one/update/initiate";
    let (status, update) = manager.call("POST", path, Some(body)).await;
    assert_eq!(status, 200, "{update}");
    let execution = update["execution_id"].as_str().unwrap();
    // where there is nothing to do, it has ended before it began
    let mut end = manager.get(&format!("executions/{execution}")).await;
    if update["state"] == "updating" {
        end = manager.end(execution).await;
    }
    assert_eq!(end["status"], "terminated", "{end}");
    let id = update["id"].as_str().unwrap();
    manager.get(&format!("plugins-updates/{id}")).await
}

/// Versions of the plugin in the deployments, and in the blueprint.
async fn versions(manager: &Manager) -> Vec<String> {
    let mut found = Vec::new();
    for node in manager.list("nodes?_sort=deployment_id").await {
        assert_eq!(node["blueprint_id"], "one", "{node}");
        let version = &node["plugins"][0]["package_version"];
        found.push(version.as_str().unwrap().to_owned());
    }
    let blueprint = manager.get("blueprints/one").await;
    let version = &blueprint["plan"]["nodes"][0]["plugins"][0]["package_version"];
    found.push(version.as_str().unwrap().to_owned());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_come_to_other_versions_of_their_plugins() {
    let manager = manager().await;
    let update = updated(&manager, json!({})).await;
    assert_eq!(update["state"], "no_changes_required", "{update}");
    for version in ["1.3", "2.0"] {
        manager.upload_plugin(plugin(version)).await;
    }
    let body = json!({"plugin_names": ["other"]});
    let update = updated(&manager, body).await;
    assert_eq!(update["state"], "no_changes_required", "{update}");

    let update = updated(
        &manager,
        json!({"all_to_minor": true, "all_to_latest": false}),
    )
    .await;
    assert_eq!(update["state"], "successful", "{update}");
    assert_eq!(update["deployments_to_update"], json!(["one", "two"]));
    assert_eq!(update["temp_blueprint_id"], Value::Null);
    assert_eq!(versions(&manager).await, ["1.3", "1.3", "1.3"]);
    let hidden = manager.list("blueprints?is_hidden=true").await;
    assert_eq!(hidden, Vec::<Value>::new());

    let install = manager.start("one", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let instances = manager.list("node-instances?deployment_id=one").await;
    let properties = &instances[0]["runtime_properties"];
    assert_eq!(properties["version"], "1.3", "{properties}");
    assert_eq!(properties["hello"], "hello");

    let mapping = json!({"mapping": {"updates": [
        {"plugin_name": "demo-plugin", "suggested_version": "1.2"},
    ]}});
    assert_eq!(updated(&manager, mapping).await["state"], "successful");
    assert_eq!(versions(&manager).await, ["1.2", "1.2", "1.2"]);
    let update = updated(&manager, json!({"to_latest": ["demo-plugin"]})).await;
    assert_eq!(update["state"], "successful", "{update}");
    assert_eq!(versions(&manager).await, ["2.0", "2.0", "2.0"]);
    let updates = manager.list("plugins-updates?blueprint_id=one").await;
    assert_eq!(updates.len(), 5);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_updated_stays_and_is_told() {
    let manager = manager().await;
    manager.upload_plugin(plugin("1.3")).await;
    let unknown = json!({"mapping": {"updates": [
        {"plugin_name": "demo-plugin", "suggested_version": "9"},
    ]}});
    let path = "plugins-updates/one/update/initiate";
    let (status, error) = manager.call("POST", path, Some(unknown)).await;
    assert_eq!(
        (status, &error["error_code"]),
        (400, &json!("invalid_blueprint_error"))
    );
    // a deployment that something else changes is left alone
    let body = json!({"deployment_id": "two", "nodes": {"app": {"instances": 2}}});
    let (status, modification) = manager
        .call("POST", "deployment-modifications", Some(body))
        .await;
    assert_eq!(status, 201, "{modification}");
    let update = updated(&manager, json!({})).await;
    assert_eq!(update["state"], "failed", "{update}");
    let temp = update["temp_blueprint_id"].as_str().unwrap();
    assert!(temp.starts_with("plugins-update-"), "{temp}");
    assert!(temp.ends_with("-one"), "{temp}");
    assert_eq!(manager.get("deployments/one").await["blueprint_id"], temp);
    assert_eq!(manager.get("deployments/two").await["blueprint_id"], "one");
    let shown = manager.list("blueprints?_sort=id").await;
    let ids: Vec<&Value> = shown.iter().map(|blueprint| &blueprint["id"]).collect();
    assert_eq!(ids, ["one", temp]);
    let id = update["execution_id"].as_str().unwrap();
    let lines = manager
        .list(&format!("events?execution_id={id}&type=cloudify_log"))
        .await;
    let is_told = |line: &Value| {
        let text = line["message"].as_str().unwrap();
        text.contains("two") && text.contains("cannot be updated")
    };
    assert!(lines.iter().any(is_told), "{lines:?}");
    manager.stop().await;
}
