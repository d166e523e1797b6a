//! Inputs that name objects of the manager: they must be there, and fit.
use serde_json::{Value, json};

use crate::support::manager::Manager;

const TYPES: &str =
    "tosca_definitions_version: cloudify_dsl_1_5\nimports: [cloudify/types/types.yaml]\n";
const OFFERING: &str = "
node_templates:
  host: {type: cloudify.nodes.Compute, properties: {agent_config: {install_method: none}}}
  web: {type: cloudify.nodes.Root}
groups:
  pair: {members: [web]}
policies:
  pairs: {type: cloudify.policies.scaling, targets: [pair]}
capabilities:
  address: {value: 10.0.0.1}
  port: {value: 8080}
";
const ASKING: &str = "
inputs:
  deployment: {type: deployment_id, required: false, constraints: [{name_pattern: {starts_with: offer}}]}
  labelled: {type: deployment_id, required: false, constraints: [{labels: [{tier: gold}]}]}
  blueprint: {type: blueprint_id, required: false}
  secret: {type: secret_key, required: false, constraints: [{name_pattern: {ends_with: key}}]}
  node: {type: node_id, required: false, constraints: [{deployment_id: offering}]}
  own: {type: node_id, required: false, constraints: [{name_pattern: {starts_with: m}}]}
  kind: {type: node_type, required: false, constraints: [{deployment_id: offering}]}
  group: {type: scaling_group, required: false, constraints: [{deployment_id: offering}]}
  operation: {type: operation_name, required: false, constraints: [{deployment_id: offering}]}
  capability: {type: capability_value, required: false, constraints: [{deployment_id: offering}, {name_pattern: {equals_to: port}}]}
  listed: {type: list, item_type: deployment_id, default: [], constraints: [{name_pattern: {contains: ffer}}]}
node_templates:
  mine: {type: cloudify.nodes.Root}
";

/// The end of the creation of a deployment with one input.
async fn created(manager: &Manager, nth: usize, name: &str, value: &Value) -> Value {
    let id = format!("asking{nth}");
    let body = json!({"blueprint_id": "asking", "inputs": {name: value}});
    let (status, created) = manager
        .call(
            "PUT",
            &format!("deployments/{id}?async_create=true"),
            Some(body),
        )
        .await;
    assert_eq!(status, 201, "{created}");
    let execution = manager
        .list(&format!("executions?deployment_id={id}"))
        .await
        .remove(0);
    manager.end(execution["id"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_name_what_is_there() {
    let manager = Manager::new().await;
    let (offering, asking) = (format!("{TYPES}{OFFERING}"), format!("{TYPES}{ASKING}"));
    manager
        .deploy("offering", &[("blueprint.yaml", &offering)])
        .await;
    manager
        .deploy("asking", &[("blueprint.yaml", &asking)])
        .await;
    let secret = json!({"value": "v"});
    let (status, _) = manager.call("PUT", "secrets/a_key", Some(secret)).await;
    assert_eq!(status, 200);
    let labels = json!({"labels": [{"tier": "gold"}]});
    let (status, _) = manager
        .call("PATCH", "deployments/offering", Some(labels))
        .await;
    assert_eq!(status, 200);
    let create = json!("cloudify.interfaces.lifecycle.create");
    for (nth, (name, value, is_right)) in [
        ("deployment", json!("offering"), true),
        ("deployment", json!("asking"), false),
        ("deployment", json!("offernothing"), false),
        ("labelled", json!("offering"), true),
        ("labelled", json!("asking"), false),
        ("blueprint", json!("asking"), true),
        ("blueprint", json!("nosuch"), false),
        ("secret", json!("a_key"), true),
        ("secret", json!("b_key"), false),
        ("node", json!("web"), true),
        ("node", json!("mine"), false),
        ("own", json!("mine"), true),
        ("own", json!("mind"), false),
        ("kind", json!("cloudify.nodes.Compute"), true),
        ("kind", json!("cloudify.nodes.Port"), false),
        ("group", json!("pair"), true),
        ("group", json!("web"), false),
        ("operation", create, true),
        ("operation", json!("sing"), false),
        ("capability", json!(8080), true),
        ("capability", json!("10.0.0.1"), false),
        ("listed", json!(["offering", "offering"]), true),
        ("listed", json!(["offering", "asking"]), false),
    ]
    .into_iter()
    .enumerate()
    {
        let end = created(&manager, nth, name, &value).await;
        let expected = if is_right { "terminated" } else { "failed" };
        assert_eq!(end["status"], expected, "{name}: {value}: {end}");
        if !is_right {
            let error = end["error"].as_str().unwrap();
            assert!(error.contains(name), "{name}: {error}");
        }
    }
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_names_its_deployments() {
    let manager = Manager::new().await;
    let named = format!(
        "{TYPES}deployment_settings: {{display_name: {{concat: ['of ', {{get_sys: [deployment, \
         id]}}]}}}}\n"
    );
    manager.deploy("named", &[("blueprint.yaml", &named)]).await;
    let deployment = manager.get("deployments/named").await;
    assert_eq!(deployment["display_name"], "of named", "{deployment}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_name_what_is_in_the_deployment() {
    let manager = Manager::new().await;
    let offering = format!("{TYPES}{OFFERING}");
    manager
        .deploy("offering", &[("blueprint.yaml", &offering)])
        .await;
    for (workflow, parameters, name) in [
        (
            "execute_operation",
            json!({"operation": "sing"}),
            "operation",
        ),
        (
            "heal",
            json!({"node_instance_id": "web_0"}),
            "node_instance_id",
        ),
    ] {
        let body = json!({"deployment_id": "offering", "workflow_id": workflow,
            "force": true, "parameters": parameters});
        let (status, refused) = manager.call("POST", "executions", Some(body)).await;
        assert_eq!(status, 400, "{refused}");
        assert_eq!(refused["error_code"], "illegal_execution_parameters_error");
        let message = refused["message"].as_str().unwrap();
        let expected = format!("Parameter \"{name}\" does not meet its constraints");
        assert!(message.starts_with(&expected), "{message}");
    }
    let right = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.create", "node_ids": ["web"]}});
    let execution = manager.start("offering", "execute_operation", right).await;
    let end = manager.end(&execution).await;
    assert_eq!(end["status"], "terminated", "{end}");
    manager.stop().await;
}
