//! Deployments that follow another blueprint, or other inputs.
use std::path::Path;

use serde_json::{Value, json};

use crate::support::manager::{Manager, until};

/// What stays the same: a script that writes down what it was called for.
const HEAD: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs:
  size: {type: integer, default: 1}
node_types:
  told:
    derived_from: cloudify.nodes.Root
    properties: {size: {default: 0}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: op.sh, executor: central_deployment_agent, max_retries: 0}
        delete: {implementation: op.sh, executor: central_deployment_agent}
  pliant:
    derived_from: told
    interfaces:
      cloudify.interfaces.lifecycle:
        update: {implementation: op.sh, executor: central_deployment_agent, max_retries: 0}
relationships:
  told_of:
    derived_from: cloudify.relationships.connected_to
    source_interfaces:
      cloudify.interfaces.relationship_lifecycle:
        establish: {implementation: op.sh, executor: central_deployment_agent}
        unlink: {implementation: op.sh, executor: central_deployment_agent}
";

const BEFORE: &str = "
node_templates:
  store: {type: pliant, properties: {size: {get_input: size}}}
  rigid: {type: told, properties: {size: 1}}
  cache: {type: told}
  app:
    type: told
    relationships:
      - {type: told_of, target: store}
      - {type: told_of, target: cache}
      - {type: told_of, target: rigid}
outputs:
  size: {value: {get_input: size}}
";

/// `cache` and what it was for go, `queue` comes, `rigid` changes, and `app` loses a relationship
/// to a node that stays.
const AFTER: &str = "
description: the second
labels: {colour: {values: [green]}}
node_templates:
  store: {type: pliant, properties: {size: {get_input: size}}}
  rigid: {type: told, properties: {size: 2}}
  queue: {type: told}
  app:
    type: told
    relationships:
      - {type: told_of, target: queue}
      - {type: told_of, target: store}
outputs:
  size: {value: {concat: ['size ', {get_input: size}]}}
";

/// Writes down operation and node, and fails where a file says so.
fn script(directory: &Path) -> String {
    let at = directory.display();
    format!(
        "#!/bin/bash\n\
         op=$(ctx operation name)\n\
         name=$(ctx node name 2>/dev/null || ctx source node name)\n\
         while [ -e {at}/wait-$name ]; do sleep 0.05; done\n\
         test -e {at}/fail-$name && exit 1\n\
         flock {at}/lock -c \"echo ${{op##*.}} $name >> {at}/log\"\n"
    )
}

async fn installed(directory: &Path) -> Manager {
    let manager = Manager::new().await;
    let (script, before) = (script(directory), format!("{HEAD}{BEFORE}"));
    let files = [("blueprint.yaml", before.as_str()), ("op.sh", &script)];
    manager.deploy("dep", &files).await;
    let after = format!("{HEAD}{AFTER}");
    let files = [("blueprint.yaml", after.as_str()), ("op.sh", &script)];
    manager.upload("second", &files).await;
    let install = manager.start("dep", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    std::fs::remove_file(directory.join("log")).unwrap();
    manager
}

/// What was done since the installation.
fn done(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn initiate(manager: &Manager, body: Value) -> (u16, Value) {
    let path = "deployment-updates/dep/update/initiate";
    manager.call("POST", path, Some(body)).await
}

/// The update, and its execution, at their end.
async fn updated(manager: &Manager, body: Value) -> (Value, Value) {
    let (status, update) = initiate(manager, body).await;
    assert_eq!(status, 200, "{update}");
    let execution = manager.end(update["execution_id"].as_str().unwrap()).await;
    let id = update["id"].as_str().unwrap();
    (
        manager.get(&format!("deployment-updates/{id}")).await,
        execution,
    )
}

async fn instance(manager: &Manager, node: &str) -> Value {
    manager.instance("dep", node).await
}

fn targets(instance: &Value) -> Vec<&str> {
    let all = instance["relationships"].as_array().unwrap().iter();
    all.map(|one| one["target_name"].as_str().unwrap())
        .collect()
}

fn steps(update: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let step = |step: &Value| {
        let way: Vec<String> = step["entity_id"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        format!("{} {}", text(&step["action"]), way.join(":"))
    };
    let mut steps: Vec<String> = update["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(step)
        .collect();
    steps.sort_unstable();
    steps
}

const STEPS: [&str; 8] = [
    "add nodes:app:relationships:[0]",
    "add nodes:queue",
    "modify description",
    "modify nodes:app:relationships:[0]:[1]",
    "modify nodes:rigid:properties:size",
    "modify outputs:size",
    "remove nodes:app:relationships:[1]",
    "remove nodes:app:relationships:[2]",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_follows_another_blueprint() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let rigid = instance(&manager, "rigid").await["id"].clone();
    let (update, execution) = updated(&manager, json!({"blueprint_id": "second"})).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert_eq!(update["state"], "successful", "{update}");
    assert_eq!(update["old_blueprint_id"], "dep");
    assert_eq!(update["new_blueprint_id"], "second");
    let mut expected: Vec<String> = STEPS.iter().map(|step| (*step).to_owned()).collect();
    expected.push("remove nodes:cache".to_owned());
    expected.sort_unstable();
    let mut found = steps(&update);
    for step in &mut found {
        // a description where there was none
        *step = step.replace("add description", "modify description");
    }
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(
        done(at),
        [
            "unlink app",
            "unlink app",
            "delete cache",
            "delete rigid",
            "create rigid",
            "create queue",
            "establish app",
        ]
    );

    let nodes = manager.list("nodes?deployment_id=dep&_sort=id").await;
    let names: Vec<&Value> = nodes.iter().map(|node| &node["id"]).collect();
    assert_eq!(names, ["app", "queue", "rigid", "store"]);
    assert!(nodes.iter().all(|node| node["blueprint_id"] == "second"));
    let app = nodes[0]["relationships"].as_array().unwrap();
    let planned: Vec<&Value> = app.iter().map(|one| &one["target_id"]).collect();
    assert_eq!(planned, ["queue", "store"]);
    assert_eq!(
        targets(&instance(&manager, "app").await),
        ["queue", "store"]
    );
    let states = manager.list("node-instances?deployment_id=dep").await;
    assert_eq!(states.len(), 4);
    assert!(states.iter().all(|one| one["state"] == "started"));
    assert_eq!(instance(&manager, "rigid").await["id"], rigid);

    let deployment = manager.get("deployments/dep").await;
    assert_eq!(deployment["blueprint_id"], "second");
    assert_eq!(deployment["description"], "the second");
    assert_eq!(deployment["labels"][0]["value"], "green", "{deployment}");
    let outputs = manager.get("deployments/dep/outputs").await;
    assert_eq!(outputs["outputs"]["size"], "size 1");
    let again = updated(&manager, json!({})).await.0;
    assert_eq!(steps(&again), Vec::<String>::new());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_can_follow_in_place_are_not_installed_anew() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let (update, execution) = updated(&manager, json!({"inputs": {"size": 5}})).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert_eq!(update["old_inputs"]["size"], 1);
    assert_eq!(update["new_inputs"]["size"], 5);
    assert_eq!(done(at), ["update store"]);
    let inputs = manager.get("deployments/dep").await["inputs"].clone();
    assert_eq!(inputs, json!({"size": 5}));
    let store = manager.list("nodes?deployment_id=dep&id=store").await;
    assert_eq!(store[0]["properties"]["size"], 5);

    // who cannot be updated is installed anew, unless that is not wanted
    std::fs::write(at.join("fail-store"), "").unwrap();
    let body = json!({"inputs": {"size": 6}, "skip_reinstall": true});
    let (_, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert_eq!(done(at), ["update store"]);
    let body = json!({"inputs": {"size": 7}, "ignore_failure": true});
    let (update, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "failed", "{execution}");
    assert_eq!(update["state"], "failed", "{update}");
    std::fs::remove_file(at.join("fail-store")).unwrap();

    let rigid = instance(&manager, "rigid").await["id"].clone();
    let body = json!({"reinstall_list": [rigid], "skip_reinstall": true});
    let (_, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    let rest: Vec<String> = done(at).split_off(2);
    let expected = [
        "unlink app",
        "delete rigid",
        "create rigid",
        "establish app",
    ];
    assert_eq!(rest, expected);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_says_what_would_be_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let before = manager.get("deployments/dep").await;
    let body = json!({"blueprint_id": "second", "preview": true});
    let (status, update) = initiate(&manager, body).await;
    assert_eq!(status, 200, "{update}");
    assert_eq!(update["state"], "successful", "{update}");
    assert!(steps(&update).contains(&"add nodes:queue".to_owned()));
    assert_eq!(update["labels_to_create"], json!([{"colour": "green"}]));
    let added = &update["deployment_update_node_instances"]["added_and_related"];
    assert_eq!(added[0]["modification"], "added", "{added}");
    let after = manager.get("deployments/dep").await;
    for field in [
        "blueprint_id",
        "inputs",
        "outputs",
        "workflows",
        "description",
        "labels",
    ] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_eq!(manager.list("nodes?deployment_id=dep").await.len(), 4);
    assert_eq!(done(at), Vec::<String>::new());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_updated_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let (script, other) = (
        script(at),
        BEFORE.replace("rigid: {type: told,", "rigid: {type: pliant,"),
    );
    let other = format!("{HEAD}{other}");
    let files = [("blueprint.yaml", other.as_str()), ("op.sh", &script)];
    manager.upload("other", &files).await;
    let (update, execution) = updated(&manager, json!({"blueprint_id": "other"})).await;
    assert_eq!(execution["status"], "failed", "{execution}");
    let error = execution["error"].as_str().unwrap();
    assert!(
        error.contains("Cannot update: unsupported steps found"),
        "{error}"
    );
    assert!(error.contains("nodes:rigid"), "{error}");
    assert_eq!(update["state"], "failed", "{update}");
    assert_eq!(manager.get("deployments/dep").await["blueprint_id"], "dep");
    let (status, error) = initiate(&manager, json!({"blueprint_id": "nosuch"})).await;
    assert_eq!(
        (status, &error["error_code"]),
        (404, &json!("not_found_error"))
    );
    let (_, execution) = updated(&manager, json!({"inputs": {"size": "many"}})).await;
    assert_eq!(execution["status"], "failed", "{execution}");
    assert_eq!(done(at), Vec::<String>::new());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_can_be_left_out_and_another_workflow_can_do_the_work() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let body = json!({
        "blueprint_id": "second", "skip_install": true, "skip_uninstall": true,
        "skip_reinstall": "true",
    });
    let (update, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert_eq!(update["state"], "successful");
    assert_eq!(done(at), Vec::<String>::new());
    assert_eq!(instance(&manager, "queue").await["state"], "uninitialized");
    assert_eq!(
        targets(&instance(&manager, "app").await),
        ["queue", "store"]
    );

    let body = json!({"blueprint_id": "dep", "workflow_id": "check_status"});
    let (update, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    assert_eq!(update["state"], "successful");
    let path = "executions?deployment_id=dep&workflow_id=check_status";
    let check = manager.list(path).await.remove(0);
    assert_eq!(check["status"], "terminated", "{check}");
    assert_eq!(check["parameters"]["update_id"], update["id"]);
    assert_eq!(instance(&manager, "cache").await["state"], "uninitialized");

    let body = json!({"workflow_id": "nosuch"});
    let (update, execution) = updated(&manager, body).await;
    assert_eq!(execution["status"], "failed", "{execution}");
    assert_eq!(update["state"], "failed");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    std::fs::write(at.join("wait-queue"), "").unwrap();
    let (_, update) = initiate(&manager, json!({"blueprint_id": "second"})).await;
    let id = update["execution_id"].as_str().unwrap();
    until(async || done(at).contains(&"create rigid".to_owned())).await;
    let (status, refused) = initiate(&manager, json!({})).await;
    assert_eq!(
        (status, &refused["error_code"]),
        (409, &json!("conflict_error"))
    );
    let manager = manager.restart().await;
    std::fs::remove_file(at.join("wait-queue")).unwrap();
    let end = manager.end(id).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let ran = done(at);
    assert_eq!(ran.iter().filter(|line| *line == "create rigid").count(), 1);
    assert_eq!(ran.last().map(String::as_str), Some("establish app"));
    let update = update["id"].as_str().unwrap();
    let update = manager.get(&format!("deployment-updates/{update}")).await;
    assert_eq!(update["state"], "successful");
    assert_eq!(
        targets(&instance(&manager, "app").await),
        ["queue", "store"]
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_update_their_deployments() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let manager = installed(at).await;
    let body = json!({"deployment_ids": ["dep"]});
    let (status, group) = manager
        .call("PUT", "deployment-groups/all", Some(body))
        .await;
    assert_eq!(status, 200, "{group}");
    let body = json!({
        "deployment_group_id": "all", "workflow_id": "csys_update_deployment",
        "default_parameters": {"inputs": {"size": 9}},
    });
    let (status, started) = manager.call("POST", "execution-groups", Some(body)).await;
    assert_eq!(status, 200, "{started}");
    let id = started["id"].as_str().unwrap();
    let path = format!("executions?execution_group_id={id}");
    let is_over = async || {
        let all = manager.list(&path).await;
        all.len() == 2 && all.iter().all(|one| one["status"] == "terminated")
    };
    until(is_over).await;
    let executions = manager.list(&path).await;
    assert_eq!(done(at), ["update store"], "{executions:#?}");
    let updates = manager.list("deployment-updates?deployment_id=dep").await;
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0]["state"], "successful");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_stored_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let manager = installed(directory.path()).await;
    let body = json!({"deployment_id": "dep", "state": "updating"});
    let path = "deployment-updates/dep-1";
    let (status, error) = manager.call("PUT", path, Some(body.clone())).await;
    assert_eq!(
        (status, &error["error_code"]),
        (403, &json!("forbidden_error"))
    );
    let mut body = body;
    body["execution_id"] = json!("gone");
    body["created_at"] = json!("2021-02-03T04:05:06.789Z");
    body["inputs"] = json!({"size": 3});
    let (status, update) = manager.call("PUT", path, Some(body)).await;
    assert_eq!(status, 200, "{update}");
    assert_eq!(update["created_at"], "2021-02-03T04:05:06.789Z");
    assert_eq!(update["new_inputs"], json!({"size": 3}));
    let patch = json!({
        "state": "successful",
        "plan": {"nodes": []},
        "steps": [{"action": "add", "entity_type": "node", "entity_id": "nodes:n"}],
        "nodes": {"add": ["n"]},
        "node_instances": {"added_and_related": []},
    });
    let (status, update) = manager.call("PATCH", path, Some(patch)).await;
    assert_eq!(status, 200, "{update}");
    assert_eq!(update["state"], "successful");
    assert_eq!(steps(&update), ["add nodes:n"]);
    assert_eq!(update["steps"][0]["deployment_update_id"], "dep-1");

    let mut old = update.clone();
    old["id"] = json!("dep-2");
    old["created_by"] = json!("admin");
    let body = json!({"deployment_updates": [old]});
    let (status, _) = manager.call("POST", "deployment-updates", Some(body)).await;
    assert_eq!(status, 201);
    let copy = manager.get("deployment-updates/dep-2").await;
    for field in [
        "created_at",
        "new_inputs",
        "deployment_plan",
        "state",
        "execution_id",
    ] {
        assert_eq!(copy[field], update[field], "{field}");
    }
    let nothing = json!({"deployment_updates": []});
    let (status, _) = manager
        .call("POST", "deployment-updates", Some(nothing))
        .await;
    assert_eq!(status, 204);
    let listed = manager
        .list("deployment-updates?deployment_id=dep&_sort=-id")
        .await;
    assert_eq!(listed[0]["id"], "dep-2");
    let path = "deployment-updates/dep-1/update/finalize";
    assert_eq!(manager.call("POST", path, None).await.0, 200);
    manager.stop().await;
}
