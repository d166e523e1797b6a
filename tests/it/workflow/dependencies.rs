//! What deployments depend on: found in their plans, found out anew at the end of executions, and
//! in the way of whoever would disturb them.
use serde_json::{Value, json};

use crate::support::manager::{Manager, until};

const BASE: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host: {type: cloudify.nodes.Root}
capabilities:
  address: {value: 10.0.0.1}
";

/// It names one deployment, and finds another one out when it runs.
const APP: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_types:
  user:
    derived_from: cloudify.nodes.Root
    properties: {address: {}, late: {default: {}}}
node_templates:
  web:
    type: user
    properties:
      address: {get_capability: [base, address]}
      late: {get_capability: [{get_attribute: [SELF, which]}, address]}
";

async fn dependencies(manager: &Manager, source: &str) -> Vec<(Value, Value)> {
    let path = format!("deployments/inter-deployment-dependencies?source_deployment_id={source}");
    let all = manager.list(&path).await;
    let pair = |one: &Value| {
        (
            one["dependency_creator"].clone(),
            one["target_deployment_id"].clone(),
        )
    };
    let mut pairs: Vec<_> = all.iter().map(pair).collect();
    pairs.sort_by_key(|(creator, _)| creator.to_string());
    pairs
}

async fn consumers(manager: &Manager, id: &str) -> Vec<Value> {
    let deployment = manager.get(&format!("deployments/{id}")).await;
    let labels = deployment["labels"].as_array().unwrap().iter();
    labels
        .filter(|label| label["key"] == "csys-consumer-id")
        .map(|label| label["value"].clone())
        .collect()
}

async fn run(manager: &Manager, deployment: &str, workflow: &str) -> Value {
    manager.run(deployment, workflow, json!({})).await
}

/// Deletes a deployment, and waits until it is gone.
async fn gone(manager: &Manager, id: &str, how: &str) {
    let path = format!("deployments/{id}");
    let (status, refused) = manager.call("DELETE", &format!("{path}{how}"), None).await;
    assert_eq!(status, 204, "{refused}");
    until(async || manager.call("GET", &path, None).await.0 == 404).await;
}

async fn refusal(manager: &Manager, deployment: &str, workflow: &str) -> String {
    let body = json!({"deployment_id": deployment, "workflow_id": workflow});
    let (status, refused) = manager.call("POST", "executions", Some(body)).await;
    let code = &refused["error_code"];
    assert_eq!(
        (status, code),
        (400, &json!("dependent_exists_error")),
        "{refused}"
    );
    refused["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_a_capability_stands_in_the_way() {
    let manager = Manager::new().await;
    for id in ["base", "later"] {
        manager.deploy(id, &[("blueprint.yaml", BASE)]).await;
        assert_eq!(run(&manager, id, "install").await["status"], "terminated");
    }
    manager.deploy("app", &[("blueprint.yaml", APP)]).await;
    let named = json!("nodes.web.properties.address.get_capability");
    let late = json!("nodes.web.properties.late.get_capability");
    let expected = [(named.clone(), json!("base")), (late.clone(), Value::Null)];
    assert_eq!(dependencies(&manager, "app").await, expected);
    assert_eq!(consumers(&manager, "base").await, ["app"]);
    // an uninstalled user does not stand in the way of an uninstallation, but of others
    let told = refusal(&manager, "base", "heal").await;
    assert_eq!(
        told,
        "Can't execute workflow `heal` on deployment base - existing installations depend on \
         it:\n[1] Deployment `app` uses capabilities of the current deployment in its node `web`"
    );
    assert_eq!(
        run(&manager, "app", "install").await["status"],
        "terminated"
    );
    let told = refusal(&manager, "base", "uninstall").await;
    assert!(told.contains("[1] Deployment `app` uses"), "{told}");

    // what was found out when it ran is known from the end of the execution on
    let web = manager.list("node-instances?deployment_id=app").await;
    let path = format!("node-instances/{}", web[0]["id"].as_str().unwrap());
    let change = json!({"version": web[0]["version"],
        "runtime_properties": {"which": "later"}});
    manager.call("PATCH", &path, Some(change)).await;
    assert_eq!(consumers(&manager, "later").await, [""; 0]);
    let none = json!({"operation": "cloudify.interfaces.lifecycle.poststart"});
    let more = json!({"parameters": none});
    let id = manager.start("app", "execute_operation", more).await;
    assert_eq!(manager.end(&id).await["status"], "terminated");
    let expected = [(named, json!("base")), (late, json!("later"))];
    assert_eq!(dependencies(&manager, "app").await, expected);
    assert_eq!(consumers(&manager, "later").await, ["app"]);
    let (status, refused) = manager.call("DELETE", "deployments/later", None).await;
    assert_eq!(status, 400);
    assert_eq!(
        refused["message"],
        "Can't delete deployment later - the following existing installations depend on it:\n[1] \
         Deployment `app` uses capabilities of the current deployment in its node `web`"
    );

    // with force it goes, and nothing points to it any more
    let body = json!({"force": true});
    let id = manager.start("later", "uninstall", body).await;
    assert_eq!(manager.end(&id).await["status"], "terminated");
    gone(&manager, "later", "?force=true").await;
    assert_eq!(dependencies(&manager, "app").await[1].1, Value::Null);
    assert_eq!(
        run(&manager, "app", "uninstall").await["status"],
        "terminated"
    );
    gone(&manager, "app", "").await;
    assert_eq!(consumers(&manager, "base").await, [""; 0]);
    assert_eq!(dependencies(&manager, "app").await, []);
    assert_eq!(
        run(&manager, "base", "uninstall").await["status"],
        "terminated"
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_closes_a_circle_fails() {
    let manager = Manager::new().await;
    for id in ["one", "two"] {
        manager.deploy(id, &[("blueprint.yaml", BASE)]).await;
    }
    let path = "deployments/inter-deployment-dependencies";
    let there = json!({"dependency_creator": "there", "source_deployment": "one",
        "target_deployment": "two"});
    assert_eq!(manager.call("PUT", path, Some(there)).await.0, 200);
    let back = json!({"dependency_creator": "back", "source_deployment": "two",
        "target_deployment_func": {"function": {"concat": ["o", "ne"]}, "context": {}}});
    assert_eq!(manager.call("PUT", path, Some(back)).await.0, 200);
    let end = run(&manager, "two", "install").await;
    assert_eq!(end["status"], "failed");
    assert_eq!(
        end["error"],
        "Failed updating dependencies of deployment two: Cyclic dependency between deployments \
         `two` and `one`"
    );
    assert_eq!(
        manager.get("deployments/two").await["deployment_status"],
        "requires_attention"
    );
    manager.stop().await;
}
