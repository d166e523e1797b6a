//! `rollback`: instances that stopped half way up go back to where they can begin anew.
use std::path::Path;

use serde_json::{Value, json};

use crate::support::manager::Manager;

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  base:
    type: cloudify.nodes.Root
    interfaces: &noted
      cloudify.interfaces.lifecycle:
        create: {implementation: step.sh, executor: central_deployment_agent, max_retries: 0}
        configure: {implementation: step.sh, executor: central_deployment_agent, max_retries: 0}
        start: {implementation: step.sh, executor: central_deployment_agent, max_retries: 0}
        stop: {implementation: step.sh, executor: central_deployment_agent, max_retries: 0}
        delete: {implementation: step.sh, executor: central_deployment_agent, max_retries: 0}
  middle:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: base}]
    interfaces: *noted
  top:
    type: cloudify.nodes.Root
    relationships: [{type: cloudify.relationships.depends_on, target: middle}]
    interfaces: *noted
";

struct World {
    manager: Manager,
    directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // whatever has a file with its name fails
        let step = format!(
            "#!/bin/bash\nstep=$(ctx node name).$(ctx operation name | sed 's/.*[.]//')\n\
             echo $step >> {0}/steps\ntest ! -e {0}/$step\n",
            directory.path().display()
        );
        let manager = Manager::new().await;
        let files = [("blueprint.yaml", BLUEPRINT), ("step.sh", step.as_str())];
        manager.deploy("dep", &files).await;
        Self { manager, directory }
    }

    fn at(&self) -> &Path {
        self.directory.path()
    }

    async fn run(&self, workflow: &str, parameters: Value) -> (String, Value) {
        // what was done before is forgotten
        std::fs::write(self.at().join("steps"), "").unwrap();
        let more = json!({ "parameters": parameters });
        let id = self.manager.start("dep", workflow, more).await;
        let end = self.manager.end(&id).await;
        (id, end["status"].clone())
    }

    fn steps(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.at().join("steps"));
        text.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    async fn states(&self) -> Vec<String> {
        let mut states = Vec::new();
        for node in ["base", "middle", "top"] {
            let path = format!("node-instances?deployment_id=dep&node_id={node}");
            let instance = self.manager.list(&path).await.remove(0);
            states.push(instance["state"].as_str().unwrap().to_owned());
        }
        states
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_way_up_goes_back() {
    let world = World::new().await;
    std::fs::write(world.at().join("middle.configure"), "").unwrap();
    assert_eq!(world.run("install", json!({})).await.1, "failed");
    assert_eq!(
        world.states().await,
        ["started", "configuring", "uninitialized"]
    );

    let (rollback, status) = world.run("rollback", json!({})).await;
    assert_eq!(status, "terminated");
    assert_eq!(
        world.states().await,
        ["started", "uninitialized", "uninitialized"]
    );
    assert_eq!(world.steps(), ["middle.delete"]);
    let told = world.manager.told(&rollback).await;
    assert!(
        told.iter().any(|text| text == "Rollbacked node instance"),
        "{told:?}"
    );
    let status = world.manager.get("deployments/dep").await["installation_status"].clone();
    assert_eq!(status, "inactive");

    // it begins anew from there
    std::fs::remove_file(world.at().join("middle.configure")).unwrap();
    std::fs::write(world.at().join("top.start"), "").unwrap();
    assert_eq!(world.run("install", json!({})).await.1, "failed");
    let expected = ["middle.create", "middle.configure", "middle.start"];
    assert_eq!(world.steps()[..3], expected);
    assert_eq!(world.states().await, ["started", "started", "starting"]);

    // a failure on the way back is ignored
    std::fs::write(world.at().join("top.stop"), "").unwrap();
    let (_, status) = world.run("rollback", json!({})).await;
    assert_eq!(status, "terminated");
    assert_eq!(world.steps(), ["top.stop"]);
    assert_eq!(world.states().await, ["started", "started", "configured"]);

    // there is nothing to be done
    let (_, status) = world.run("rollback", json!({})).await;
    assert_eq!(status, "terminated");
    assert_eq!(world.steps(), [""; 0]);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_rollback_takes_everything_down() {
    let world = World::new().await;
    std::fs::write(world.at().join("top.create"), "").unwrap();
    assert_eq!(world.run("install", json!({})).await.1, "failed");
    let only_base = json!({"node_ids": ["base"]});
    let (_, status) = world.run("rollback", only_base).await;
    assert_eq!(status, "terminated");
    assert_eq!(world.states().await, ["started", "started", "creating"]);

    let (_, status) = world.run("rollback", json!({"full_rollback": true})).await;
    assert_eq!(status, "terminated");
    assert_eq!(world.states().await, ["deleted", "deleted", "deleted"]);
    let expected = [
        "top.delete",
        "middle.stop",
        "middle.delete",
        "base.stop",
        "base.delete",
    ];
    assert_eq!(world.steps(), expected);
    let (status, refused) = world.manager.call("DELETE", "deployments/dep", None).await;
    assert!(status < 300, "{refused}");
    world.manager.stop().await;
}
