//! Agents that the manager puts on hosts, by logging in to them: with the system's own `ssh`, to a
//! real server.

use std::path::Path;

use serde_json::{Value, json};

use super::{instance_of, there};
use crate::support::{
    env,
    manager::{Manager, until},
    sshd::Sshd,
};

/// A host that is there already. `$KEY` is the key, or where it is.
const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host:
    type: cloudify.nodes.Compute
    properties:
      ip: 127.0.0.1
      agent_config:
        install_method: remote
        user: $USER
        port: $PORT
        key: $KEY
        extra: {basedir: $DIRECTORY, system_python: $PYTHON}
        process_management: {name: detach}
        env: {GREETING: good day}
  app:
    type: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        create: app.sh
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
";

const APP: &str = "#!/bin/bash -e
ctx instance runtime-properties ran_by \"$AGENT_NAME\"
ctx instance runtime-properties said \"$GREETING\"
";

async fn deploy(manager: &Manager, id: &str, sshd: &Sshd, (key, directory): (&str, &Path)) {
    let blueprint = BLUEPRINT
        .replace("$USER", &Sshd::user())
        .replace("$PORT", &sshd.port().to_string())
        .replace("$KEY", key)
        .replace("$DIRECTORY", &directory.display().to_string())
        .replace("$PYTHON", &env::python().display().to_string());
    let files = [("blueprint.yaml", blueprint.as_str()), ("app.sh", APP)];
    manager.deploy(id, &files).await;
}

async fn secret(manager: &Manager, key: &str, file: &Path) {
    let value = std::fs::read_to_string(file).unwrap();
    let secret = Some(json!({"value": value}));
    let (status, answer) = manager.call("PUT", &format!("secrets/{key}"), secret).await;
    assert_eq!(status, 200, "{answer}");
}

/// The state of the agent of a deployment's host.
async fn state(manager: &Manager, host: &Value) -> Value {
    let path = format!("agents/{}", host["id"].as_str().unwrap());
    manager.get(&path).await["state"].clone()
}

/// Installs a deployment, and looks whether its host has an agent that works.
async fn installed(manager: &Manager, deployment: &str, directory: &Path) -> Value {
    let end = manager.run(deployment, "install", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let host = instance_of(manager, deployment, "host").await;
    let name = host["id"].as_str().unwrap();
    let app = instance_of(manager, deployment, "app").await;
    assert_eq!(
        app["runtime_properties"],
        json!({"ran_by": name, "said": "good day"})
    );
    assert_eq!(state(manager, &host).await, "started");
    assert!(directory.join(name).join("stratalogd").exists());
    host
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_put_on_a_host_by_ssh_and_taken_away_again() {
    let manager = Manager::with_agents(|_| {}).await;
    let sshd = Sshd::start();
    let directory = tempfile::tempdir().unwrap();
    secret(&manager, "host_key", &sshd.key()).await;
    let key = ("{get_secret: host_key}", directory.path());
    deploy(&manager, "hosted", &sshd, key).await;
    let host = installed(&manager, "hosted", directory.path()).await;
    let name = host["id"].as_str().unwrap();
    let property = &host["runtime_properties"]["cloudify_agent"];
    assert_eq!(property["install_method"], "remote");
    assert!(property["key"].is_null(), "everybody may read it");
    assert!(!host.to_string().contains("PRIVATE KEY"));
    assert!(sshd.log().contains("Accepted publickey"), "{}", sshd.log());

    let vhost = format!("rabbitmq_vhost_{}", manager.tenant());
    let queue = format!("queues/{vhost}/{name}_operation");
    let user = format!("users/rabbitmq_user_{}_{name}", manager.tenant());
    assert!(there(&queue).await && there(&user).await);
    let home = directory.path().join(name);
    let runs = std::fs::read_to_string(home.join("run.pid")).unwrap();
    let process = Path::new("/proc").join(runs.trim());
    assert!(process.exists());
    let end = manager.run("hosted", "uninstall", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert!(!there(&queue).await && !there(&user).await);
    assert_eq!(state(&manager, &host).await, "deleted");
    until(async || !process.exists()).await;
    assert!(!home.exists(), "nothing of it is left");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_know_the_key_says_so() {
    let manager = Manager::with_agents(|_| {}).await;
    let retries = Some(json!({"value": 0}));
    let (status, set) = manager
        .call("PUT", "config/workflow.task_retries", retries)
        .await;
    assert_eq!(status, 200, "{set}");
    let sshd = Sshd::start();
    let directory = tempfile::tempdir().unwrap();
    let key = sshd.wrong_key().display().to_string();
    deploy(&manager, "hosted", &sshd, (&key, directory.path())).await;
    let end = manager.run("hosted", "install", json!({})).await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    let to = format!("{}@127.0.0.1 cannot be logged in to", Sshd::user());
    assert!(error.contains(&to), "{error}");
    assert!(error.contains("Permission denied (publickey)"), "{error}");
    let host = instance_of(&manager, "hosted", "host").await;
    assert_eq!(state(&manager, &host).await, "failed");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_may_have_the_address_of_one_that_is_gone() {
    let manager = Manager::with_agents(|_| {}).await;
    let mut sshd = Sshd::start();
    let directory = tempfile::tempdir().unwrap();
    for deployment in ["first", "second"] {
        let key = sshd.key().display().to_string();
        deploy(&manager, deployment, &sshd, (&key, directory.path())).await;
        installed(&manager, deployment, directory.path()).await;
        let end = manager.run(deployment, "uninstall", json!({})).await;
        assert_eq!(end["status"], "terminated", "{end}");
        sshd = sshd.replaced();
    }
    manager.stop().await;
}
