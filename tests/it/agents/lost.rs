//! Agents that go away while they have something to do.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::deployed;
use crate::support::{
    agents::NativeAgent,
    manager::{Manager, until},
};

async fn state(manager: &Manager, name: &str) -> String {
    let agent = manager.get(&format!("agents/{name}")).await;
    agent["state"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_agent_is_shown_and_its_operation_fails() {
    let manager = Manager::with_agents(|settings| settings.agent_lost_after_s = 15).await;
    let name = deployed(&manager).await;
    let agent = NativeAgent::start(&manager, &name).await;
    let directory = tempfile::tempdir().unwrap();
    let began = directory.path().join("began");
    let wait = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.stop",
        "operation_kwargs": {"BEGAN": began, "END": directory.path().join("end")},
        "allow_kwargs_override": true, "node_ids": ["app"],
    }});
    let install = manager.start("hosted", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    let execution = manager.start("hosted", "execute_operation", wait).await;
    until(async || began.exists()).await;
    agent.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    until(async || state(&manager, &name).await == "nonresponsive").await;
    assert!(stopped.elapsed() < Duration::from_secs(60));
    let end = manager.end(&execution).await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    assert!(error.contains("has not been heard of for"), "{error}");
    agent.signal(Signal::SIGCONT);
    std::fs::write(directory.path().join("end"), "").unwrap();
    until(async || state(&manager, &name).await == "started").await;
    manager.stop().await;
}
