//! More and fewer instances, and what becomes of modifications that fail.
use serde_json::{Value, json};

use crate::support::manager::Manager;

/// A host with an application on it, and a node whose creation fails without its marker.
const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host:
    type: cloudify.nodes.Root
  app:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
  user:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: app}]
  frail:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create:
          implementation: create.sh
          executor: central_deployment_agent
          max_retries: 0
groups:
  pair: {members: [host]}
policies:
  pairs:
    type: cloudify.policies.scaling
    targets: [pair]
    properties: {default_instances: 1, max_instances: 5}
";

async fn installed(create: &str) -> Manager {
    let manager = Manager::new().await;
    let files = [("blueprint.yaml", BLUEPRINT), ("create.sh", create)];
    manager.deploy("dep", &files).await;
    let install = manager.start("dep", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    manager
}

async fn scaled(manager: &Manager, parameters: Value) -> Value {
    let more = json!({ "parameters": parameters });
    let id = manager.start("dep", "scale", more).await;
    manager.end(&id).await
}

async fn instances(manager: &Manager, node: &str) -> Vec<Value> {
    let path = format!("node-instances?deployment_id=dep&node_id={node}");
    manager.list(&path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_and_go() {
    let manager = installed("#!/bin/bash\n").await;
    let end = scaled(&manager, json!({"scalable_entity_name": "app", "delta": 2})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let apps = instances(&manager, "app").await;
    assert_eq!(apps.len(), 3);
    assert!(apps.iter().all(|app| app["state"] == "started"), "{apps:?}");
    let user = instances(&manager, "user").await.remove(0);
    assert_eq!(user["relationships"].as_array().unwrap().len(), 3, "{user}");
    let node = manager
        .list("nodes?deployment_id=dep&id=app")
        .await
        .remove(0);
    assert_eq!(node["number_of_instances"], 3);
    assert_eq!(node["planned_number_of_instances"], 3);

    let first = apps[0]["id"].as_str().unwrap();
    let fewer = json!({
        "scalable_entity_name": "app", "delta": "-1", "include_instances": [first],
    });
    let end = scaled(&manager, fewer).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let apps = instances(&manager, "app").await;
    assert_eq!(apps.len(), 2);
    assert!(apps.iter().all(|app| app["id"] != first));
    let user = instances(&manager, "user").await.remove(0);
    assert_eq!(user["relationships"].as_array().unwrap().len(), 2, "{user}");

    let end = scaled(&manager, json!({"scalable_entity_name": "pair"})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(instances(&manager, "host").await.len(), 2);
    assert_eq!(instances(&manager, "app").await.len(), 4);
    let deployment = manager.get("deployments/dep").await;
    let pair = &deployment["scaling_groups"]["pair"]["properties"];
    assert_eq!(pair["current_instances"], 2, "{pair}");
    let modifications = manager
        .list("deployment-modifications?deployment_id=dep")
        .await;
    let statuses: Vec<&Value> = modifications.iter().map(|m| &m["status"]).collect();
    assert_eq!(statuses, ["finished"; 3]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_scaled_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("one");
    let create = format!("#!/bin/bash\nmkdir {}\n", marker.display());
    let manager = installed(&create).await;
    let before = instances(&manager, "frail").await;
    let end = scaled(&manager, json!({"scalable_entity_name": "frail"})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let after = instances(&manager, "frail").await;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["id"], before[0]["id"]);
    assert_eq!(after[0]["state"], "started");
    let node = manager
        .list("nodes?deployment_id=dep&id=frail")
        .await
        .remove(0);
    assert_eq!(node["planned_number_of_instances"], 1);
    let modification = manager.list("deployment-modifications").await.remove(0);
    assert_eq!(modification["status"], "rolledback");
    for (parameters, words) in [
        (
            json!({"scalable_entity_name": "app", "delta": -5}),
            "illegal",
        ),
        (json!({"scalable_entity_name": "nosuch"}), "nosuch"),
    ] {
        let end = scaled(&manager, parameters).await;
        assert_eq!(end["status"], "failed", "{end}");
        assert!(end["error"].as_str().unwrap().contains(words), "{end}");
    }
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_modification_at_a_time_ends_once() {
    let manager = installed("#!/bin/bash\n").await;
    let new = json!({"deployment_id": "dep", "nodes": {"app": {"instances": 2}}});
    let post = |body: &Value| manager.call("POST", "deployment-modifications", Some(body.clone()));
    let (status, started) = post(&new).await;
    assert_eq!(status, 201, "{started}");
    assert_eq!(started["status"], "started");
    let added = started["node_instances"]["added_and_related"].as_array();
    assert_eq!(
        added
            .unwrap()
            .iter()
            .filter(|i| i["modification"] == "added")
            .count(),
        1
    );
    let (status, refused) = post(&new).await;
    assert_eq!(status, 400);
    assert_eq!(
        refused["error_code"],
        "existing_started_deployment_modification_error"
    );
    let id = started["id"].as_str().unwrap();
    let end = |how: &str| {
        let path = format!("deployment-modifications/{id}/{how}");
        let manager = &manager;
        async move { manager.call("POST", &path, None).await }
    };
    let (status, rolled_back) = end("rollback").await;
    assert_eq!(
        (status, &rolled_back["status"]),
        (200, &json!("rolledback"))
    );
    assert_eq!(instances(&manager, "app").await.len(), 1);
    let (status, refused) = end("finish").await;
    assert_eq!(status, 400);
    assert_eq!(
        refused["error_code"],
        "deployment_modification_already_ended_error"
    );
    let position = manager.position().await;
    for bad in [
        json!({"deployment_id": "nosuch"}),
        json!({"deployment_id": "dep", "nodes": {"nosuch": {"instances": 1}}}),
        json!({"deployment_id": "dep", "nodes": {"app": {"instances": -1}}}),
        json!({"nodes": {}}),
    ] {
        let (status, refused) = post(&bad).await;
        assert!(matches!(status, 400 | 404), "{bad}: {refused}");
    }
    assert_eq!(manager.position().await, position);
    manager.stop().await;
}

fn ids(instances: &[Value]) -> Vec<String> {
    let id = |instance: &Value| instance["id"].as_str().unwrap().to_owned();
    instances.iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn excluded_instances_stay() {
    let manager = installed("#!/bin/bash\n").await;
    let end = scaled(&manager, json!({"scalable_entity_name": "app", "delta": 3})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let all = ids(&instances(&manager, "app").await);
    for (parameters, words) in [
        (
            json!({"delta": 1, "exclude_instances": [all[0]]}),
            "negative",
        ),
        (
            json!({"delta": -3, "exclude_instances": [all[0], all[1]]}),
            "only 1 are to stay",
        ),
        (
            json!({"delta": -1, "exclude_instances": ["nosuch"]}),
            "nosuch",
        ),
        (
            json!({"delta": -1, "scale_compute": true, "exclude_instances": [all[0]]}),
            "scale_compute",
        ),
    ] {
        let mut parameters = parameters;
        parameters["scalable_entity_name"] = "app".into();
        let end = scaled(&manager, parameters).await;
        assert_eq!(end["status"], "failed", "{end}");
        assert!(end["error"].as_str().unwrap().contains(words), "{end}");
    }
    assert_eq!(ids(&instances(&manager, "app").await), all);
    let fewer = json!({
        "scalable_entity_name": "app", "delta": -2, "exclude_instances": [all[0], all[3]],
    });
    let end = scaled(&manager, fewer).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let mut left = ids(&instances(&manager, "app").await);
    let mut expected = vec![all[0].clone(), all[3].clone()];
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
    // one alone may stand for itself
    let fewer = json!({
        "scalable_entity_name": "app", "delta": -1, "exclude_instances": all[3],
    });
    let end = scaled(&manager, fewer).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(ids(&instances(&manager, "app").await), [all[3].clone()]);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_half_way_is_aborted_only_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("one");
    let create = format!("#!/bin/bash\nmkdir {}\n", marker.display());
    let manager = installed(&create).await;
    let before = ids(&instances(&manager, "frail").await);
    let half = json!({"scalable_entity_name": "frail", "rollback_if_failed": false});
    let end = scaled(&manager, half).await;
    assert_eq!(end["status"], "failed", "{end}");
    let left = instances(&manager, "frail").await;
    assert_eq!(left.len(), 2, "{left:?}");
    let added = left
        .iter()
        .find(|one| one["id"] != before[0].as_str())
        .unwrap();
    assert_eq!(added["state"], "creating", "{added}");
    let modification = manager.list("deployment-modifications").await.remove(0);
    assert_eq!(modification["status"], "started", "{modification}");

    // others wait until it is dealt with
    let end = scaled(&manager, json!({"scalable_entity_name": "app"})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    assert!(
        error.contains(modification["id"].as_str().unwrap()),
        "{error}"
    );
    assert_eq!(instances(&manager, "app").await.len(), 1);

    std::fs::remove_dir(&marker).unwrap();
    let again = json!({"scalable_entity_name": "frail", "abort_started": true});
    let end = scaled(&manager, again).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let now = instances(&manager, "frail").await;
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(now.iter().all(|one| one["state"] == "started"), "{now:?}");
    assert!(ids(&now).contains(&before[0]));
    assert!(!ids(&now).contains(&added["id"].as_str().unwrap().to_owned()));
    let aborted = manager
        .get(&format!(
            "deployment-modifications/{}",
            modification["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(aborted["status"], "rolledback", "{aborted}");
    let node = manager
        .list("nodes?deployment_id=dep&id=frail")
        .await
        .remove(0);
    assert_eq!(node["planned_number_of_instances"], 2, "{node}");
    manager.stop().await;
}
