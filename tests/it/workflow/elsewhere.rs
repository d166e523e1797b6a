//! Components with other managers, and in other tenants. What it takes to be let in there is told
//! nobody.
use serde_json::{Value, json};

use crate::{rest::archive, support::manager::Manager};

const PART: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  inner: {type: cloudify.nodes.Root}
capabilities:
  size: {value: 3}
";

const WHOLE: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
inputs: {client: {}}
node_templates:
  part:
    type: cloudify.nodes.Component
    properties:
      client: {get_input: client}
      resource_config:
        blueprint: {id: part-blueprint, blueprint_archive: part.tar}
        deployment: {id: part}
  resource:
    type: cloudify.nodes.SharedResource
    relationships: [{type: cloudify.relationships.depends_on, target: part}]
    properties:
      client: {get_input: client}
      resource_config: {deployment: {id: part}}
capabilities:
  size: {value: {get_attribute: [part, capabilities, size]}}
";

const IDD: &str = "deployments/inter-deployment-dependencies";

async fn run(manager: &Manager, workflow: &str) -> Value {
    manager.run("whole", workflow, json!({})).await
}

/// A manager with a secret that holds `password`, and a deployment whose components are where
/// `client` says.
async fn whole(password: &str, client: impl FnOnce(&Manager) -> Value) -> Manager {
    let manager = Manager::new().await;
    let secret = json!({"value": password, "is_hidden_value": true});
    let (status, answer) = manager.call("PUT", "secrets/let-me-in", Some(secret)).await;
    assert_eq!(status, 200, "{answer}");
    let mut client = client(&manager);
    client["username"] = "admin".into();
    client["password"] = json!({"get_secret": "let-me-in"});
    let part = String::from_utf8(archive("blueprint.yaml", PART)).unwrap();
    let whole = WHOLE.replace(
        "{client: {}}",
        &json!({"client": {"default": client}}).to_string(),
    );
    let files = [
        ("blueprint.yaml", whole.as_str()),
        ("part.tar", part.as_str()),
    ];
    manager.deploy("whole", &files).await;
    manager
}

/// Nothing that can be asked for shows the password.
async fn keeps_quiet(manager: &Manager, password: &str) {
    let lists = ["events", "executions", "node-instances", "nodes", IDD];
    let mut paths = lists.map(str::to_owned).to_vec();
    for execution in manager.list("executions?deployment_id=whole").await {
        let id = execution["id"].as_str().unwrap();
        paths.push(format!("operations?execution_id={id}"));
    }
    for path in paths {
        let found = Value::Array(manager.list(&path).await).to_string();
        assert!(
            !found.contains(password),
            "{path} shows the password: {found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_lives_with_another_manager() {
    let there = Manager::new().await;
    let addr = there.addr();
    let client = json!({"host": addr.ip().to_string(), "port": addr.port(), "protocol": "http"});
    let manager = whole(Manager::PASSWORD, |_| client).await;
    let end = run(&manager, "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    let (here, _) = manager.call("GET", "deployments/part", None).await;
    assert_eq!(here, 404);
    let part = there.get("deployments/part").await;
    assert_eq!(part["installation_status"], "active", "{part}");
    assert_eq!(part["labels"], json!([]), "its parent is not there: {part}");
    let offered = manager.get("deployments/whole/capabilities").await;
    assert_eq!(offered["capabilities"], json!({"size": 3}));

    // each of the two knows its end
    let ours = manager.list(IDD).await;
    assert_eq!(ours.len(), 2, "{ours:?}");
    for one in &ours {
        assert_eq!(one["source_deployment_id"], "whole", "{one}");
        assert_eq!(one["external_target"]["deployment"], "part", "{one}");
        let expected = json!({
            "host": ["127.0.0.1"], "port": addr.port(), "protocol": "http",
            "tenant": "default_tenant",
        });
        assert_eq!(one["external_target"]["client_config"], expected);
    }
    let theirs = there.list(IDD).await;
    assert_eq!(theirs.len(), 2, "{theirs:?}");
    for one in &theirs {
        assert_eq!(one["target_deployment_id"], "part", "{one}");
        assert_eq!(one["external_source"]["deployment"], "whole", "{one}");
    }
    for workflow in ["check_status", "check_drift"] {
        let end = run(&manager, workflow).await;
        assert_eq!(end["status"], "terminated", "{end}");
    }
    assert_eq!(
        manager.get("deployments/whole").await["drifted_instances"],
        0
    );
    keeps_quiet(&manager, Manager::PASSWORD).await;

    let end = run(&manager, "uninstall").await;
    assert_eq!(end["status"], "terminated", "{end}");
    for path in ["deployments/part", "blueprints/part-blueprint"] {
        assert_eq!(there.call("GET", path, None).await.0, 404, "{path}");
    }
    for one in [&manager, &there] {
        assert_eq!(one.list(IDD).await, [Value::Null; 0]);
    }
    keeps_quiet(&manager, Manager::PASSWORD).await;
    manager.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_lives_in_another_tenant() {
    let manager = whole(Manager::PASSWORD, |_| json!({"tenant": "others"})).await;
    let (status, answer) = manager.call("POST", "tenants/others", None).await;
    assert_eq!(status, 201, "{answer}");
    let end = run(&manager, "install").await;
    assert_eq!(end["status"], "terminated", "{end}");
    let (here, _) = manager.call("GET", "deployments/part", None).await;
    assert_eq!(here, 404);
    let offered = manager.get("deployments/whole/capabilities").await;
    assert_eq!(offered["capabilities"], json!({"size": 3}));
    let everywhere = manager.list("deployments?_all_tenants=true&id=part").await;
    assert_eq!(everywhere[0]["tenant_name"], "others", "{everywhere:?}");
    keeps_quiet(&manager, Manager::PASSWORD).await;
    let end = run(&manager, "uninstall").await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(
        manager.list("deployments?_all_tenants=true&id=part").await,
        [Value::Null; 0]
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_is_told_so_without_the_password() {
    let password = "open-sesame";
    let manager = whole(password, |_| json!({"tenant": "default_tenant"})).await;
    let end = run(&manager, "install").await;
    assert_eq!(end["status"], "failed", "{end}");
    assert!(end["error"].as_str().unwrap().contains("401"), "{end}");
    keeps_quiet(&manager, password).await;
    manager.stop().await;
}
