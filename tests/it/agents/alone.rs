//! An agent on a host on which there is nothing else.

use serde_json::{Value, json};

use super::{deployed, instance_of};
use crate::support::{
    agents::{NativeAgent, can_be_alone},
    manager::{Manager, until},
};

/// Runs an operation that the agent of the node's host, or the manager, is to run.
async fn create(manager: &Manager, node: &str) -> Value {
    let parameters = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.create", "node_ids": [node],
    }});
    manager.run("hosted", "execute_operation", parameters).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_needs_nothing_of_its_host() {
    if !can_be_alone() {
        eprintln!("skipped: a root directory of one's own needs root");
        return;
    }
    let manager = Manager::with_agents(|settings| {
        settings.advertised_host = "manager.example".to_owned();
    })
    .await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start_alone(&manager, &name).await;
    until(async || agent.log().contains("connected to the message broker")).await;
    create(&manager, "host").await;
    let host = instance_of(&manager, "hosted", "host").await;
    assert_eq!(host["runtime_properties"]["cloudify_agent"]["queue"], name);
    // it fetches the script from the manager, over TLS and by its name, and has nothing to run it
    let end = create(&manager, "app").await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    // that is said of a program alone: whatever else is missing is named
    let missing = "`No such file or directory (os error 2)`";
    assert!(error.contains(missing), "{error}");
    assert!(agent.terminate().success());
    manager.stop().await;
}
