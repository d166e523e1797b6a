//! What blueprints give their deployments from the beginning: groups and schedules.
use serde_json::{Value, json};

use crate::support::manager::Manager;

const FIRST: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs:
  colour: {default: green}
node_templates:
  one: {type: cloudify.nodes.Root}
deployment_settings:
  default_groups: [made, {concat: [there, '-', {get_input: colour}]}]
  default_schedules:
    nightly:
      workflow: heal
      since: '2100-01-01 01:00'
      until: '2101-01-01 01:00'
      timezone: EST
      recurrence: 1 day
      weekdays: [mo, FR]
      slip: 5
      stop_after_fail: true
      default_enabled: false
      workflow_parameters: {node_instance_id: {concat: [{get_input: colour}, '!']}}
      execution_arguments: {allow_custom_parameters: true, wait_after_fail: 60}
    soon:
      workflow: install
      since: '+4 hours'
      count: 1
";
const SECOND: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  one: {type: cloudify.nodes.Root}
deployment_settings:
  default_schedules:
    nightly: {workflow: heal, since: '2100-01-01 06:00', recurrence: 2 days}
    weekly: {workflow: install, since: '2100-01-01 06:00', recurrence: 1w}
";

async fn schedule(manager: &Manager, id: &str) -> Value {
    let path = format!("execution-schedules/{id}?deployment_id=dep");
    manager.get(&path).await
}

async fn ids(manager: &Manager) -> Vec<String> {
    let mut ids: Vec<String> = manager
        .list("execution-schedules?deployment_id=dep")
        .await
        .iter()
        .map(|schedule| schedule["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

async fn update(manager: &Manager, preview: bool) -> Value {
    let body = json!({"blueprint_id": "second", "preview": preview});
    let path = "deployment-updates/dep/update/initiate";
    let (status, started) = manager.call("POST", path, Some(body)).await;
    assert_eq!(status, 200, "{started}");
    let execution = started["execution_id"].as_str().unwrap();
    let end = manager.end(execution).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let path = format!("deployment-updates/{}", started["id"].as_str().unwrap());
    manager.get(&path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_joins_its_groups_and_gets_its_schedules() {
    let manager = Manager::new().await;
    let group = json!({"labels": [{"tier": "gold"}]});
    let path = "deployment-groups/there-green";
    assert_eq!(manager.call("PUT", path, Some(group)).await.0, 200);
    manager.deploy("dep", &[("blueprint.yaml", FIRST)]).await;

    for group in ["made", "there-green"] {
        let group = manager.get(&format!("deployment-groups/{group}")).await;
        assert_eq!(group["deployment_ids"], json!(["dep"]), "{group}");
    }
    let deployment = manager.get("deployments/dep").await;
    let label = &deployment["labels"][0];
    assert_eq!(
        (&label["key"], &label["value"]),
        (&json!("tier"), &json!("gold"))
    );

    assert_eq!(ids(&manager).await, ["nightly", "soon"]);
    let nightly = schedule(&manager, "nightly").await;
    for (field, expected) in [
        ("workflow_id", json!("heal")),
        ("since", json!("2100-01-01T06:00:00.000Z")),
        ("until", json!("2101-01-01T06:00:00.000Z")),
        ("slip", json!(5)),
        ("stop_on_fail", json!(true)),
        ("enabled", json!(false)),
        ("parameters", json!({"node_instance_id": "green!"})),
        ("created_by", json!("admin")),
    ] {
        assert_eq!(nightly[field], expected, "{field}: {nightly}");
    }
    assert_eq!(nightly["rule"]["recurrence"], "1 day");
    assert_eq!(nightly["next_occurrence"], "2100-01-01T06:00:00.000Z");
    let soon = schedule(&manager, "soon").await;
    let occurrences = soon["all_next_occurrences"].as_array().unwrap();
    assert_eq!(occurrences.len(), 1, "{soon}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_brings_the_schedules_of_its_blueprint() {
    let manager = Manager::new().await;
    manager
        .upload("second", &[("blueprint.yaml", SECOND)])
        .await;
    manager.deploy("dep", &[("blueprint.yaml", FIRST)]).await;
    let soon = schedule(&manager, "soon").await;

    let preview = update(&manager, true).await;
    let created = preview["schedules_to_create"].as_array().unwrap();
    let created: Vec<_> = created
        .iter()
        .map(|one| (&one["id"], &one["since"]))
        .collect();
    let (nightly, weekly, since) = (
        json!("nightly"),
        json!("weekly"),
        json!("2100-01-01 06:00:00"),
    );
    assert_eq!(created, [(&nightly, &since), (&weekly, &since)]);
    assert_eq!(ids(&manager).await, ["nightly", "soon"]);

    update(&manager, false).await;
    assert_eq!(ids(&manager).await, ["nightly", "soon", "weekly"]);
    assert_eq!(
        schedule(&manager, "soon").await,
        soon,
        "nothing says it is to go"
    );
    let nightly = schedule(&manager, "nightly").await;
    assert_eq!(nightly["rule"]["recurrence"], "2 days", "{nightly}");
    assert_eq!(nightly["enabled"], false, "whoever turned it off knows why");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_makes_no_deployment() {
    let manager = Manager::new().await;
    let odd = FIRST.replace("workflow: heal", "workflow: sing");
    manager.upload("odd", &[("blueprint.yaml", &odd)]).await;
    let body = json!({"blueprint_id": "odd"});
    let path = "deployments/dep?async_create=true";
    assert_eq!(manager.call("PUT", path, Some(body)).await.0, 201);
    let execution = manager.list("executions?deployment_id=dep").await.remove(0);
    let end = manager.end(execution["id"].as_str().unwrap()).await;
    assert_eq!(end["status"], "failed", "{end}");
    assert!(end["error"].as_str().unwrap().contains("sing"), "{end}");
    assert_eq!(manager.list("nodes?deployment_id=dep").await.len(), 0);
    assert_eq!(
        manager.call("GET", "deployment-groups/made", None).await.0,
        404
    );
    manager.stop().await;
}
