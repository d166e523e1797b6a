//! Blueprints as nodes, with what they need.
use serde_json::{Value, json};

use crate::{
    rest::archive,
    support::{manager::Manager, wagon::Wagon},
};

const PART: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates: {inner: {type: cloudify.nodes.Root}}
";

const WHOLE: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  part:
    type: cloudify.nodes.Blueprint
    properties:
      resource_config: {id: part, blueprint_archive: part.tar, labels: [{made: here}]}
      secrets: {part-secret: sesame}
      plugins: {demo: {wagon_path: demo.wgn, plugin_yaml_path: demo.yaml}}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_comes_and_goes_with_its_secrets_and_plugins() {
    let manager = Manager::new().await;
    let wagon = Wagon {
        package: "demo-plugin",
        version: "1.0",
        tasks: "",
    };
    let files = [
        ("blueprint.yaml", WHOLE.as_bytes().to_vec()),
        ("part.tar", archive("blueprint.yaml", PART)),
        ("demo.wgn", wagon.build()),
        ("demo.yaml", b"plugins: {}\n".to_vec()),
    ];
    manager.deploy("whole", &files).await;
    let end = manager.run("whole", "install", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let part = manager.get("blueprints/part").await;
    assert_eq!(part["state"], "uploaded");
    assert_eq!(part["labels"][0]["key"], "made");
    let secret = manager.get("secrets/part-secret").await;
    assert_eq!(secret["value"], "sesame");
    let plugins = manager.list("plugins").await;
    assert_eq!(plugins[0]["package_name"], "demo-plugin");

    let end = manager.run("whole", "uninstall", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    for gone in ["blueprints/part", "secrets/part-secret"] {
        let (status, _) = manager.call("GET", gone, None).await;
        assert_eq!(status, 404, "{gone}");
    }
    assert_eq!(manager.list("plugins").await, [Value::Null; 0]);
    let left = manager.instance("whole", "part").await;
    assert_eq!(left["runtime_properties"], json!({}));
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_there_already_is_nobodys_to_overwrite() {
    let manager = Manager::new().await;
    let own = Some(json!({"value": "mine"}));
    let (status, answer) = manager.call("PUT", "secrets/part-secret", own).await;
    assert_eq!(status, 200, "{answer}");
    let files = [
        ("blueprint.yaml", WHOLE.as_bytes().to_vec()),
        ("part.tar", archive("blueprint.yaml", PART)),
    ];
    manager.deploy("whole", &files).await;
    let end = manager.run("whole", "install", json!({})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    assert!(
        error.contains("there is a secret `part-secret` already"),
        "{error}"
    );
    assert_eq!(manager.get("secrets/part-secret").await["value"], "mine");
    let (status, _) = manager.call("GET", "blueprints/part", None).await;
    assert_eq!(status, 404);
    manager.stop().await;
}
