//! Operations on hosts: sent to agents, run by them, and answered.

mod alone;
mod gone;
mod installed;
mod lost;
mod metrics;
mod namespaces;
mod remote;
mod secured;

use serde_json::{Value, json};

use crate::support::{
    agents::{NativeAgent, Peer},
    env,
    manager::{Manager, until},
    wagon::Wagon,
};

/// A host that has an agent already, and something on it.
const HOSTED: &str = "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host:
    type: cloudify.nodes.Compute
    properties: {agent_config: {install_method: none}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: host.sh, executor: central_deployment_agent}
  app:
    type: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: app.sh, max_retries: 0}
        configure:
          implementation: app.py
          max_retries: 1
          retry_interval: 0
          inputs: {words: [one, two]}
        stop: {implementation: wait.sh, max_retries: 0}
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
";
const APP: &str = "#!/bin/bash -e
ctx logger info \"on the host\"
ctx instance runtime-properties ran_by \"$AGENT_NAME\"
ctx returns done
";
const CONFIGURE: &str = "
from cloudify import ctx
from cloudify.state import ctx_parameters
ctx.instance.runtime_properties['words'] = list(ctx_parameters['words'])
if ctx.operation.retry_number == 0:
    raise RuntimeError('not at once')
ctx.instance.runtime_properties['retries'] = ctx.operation.retry_number
";

/// Says that it began, and waits until it may end.
const WAIT: &str = "#!/bin/bash -e
if [ -n \"$BEGAN\" ]; then
  echo \"$AGENT_NAME\" >> \"$BEGAN\"
  until [ -e \"$END\" ]; do sleep 0.1; done
fi
";

/// Tells a host that its agent is called as it is.
pub(crate) const HOST: &str = "#!/bin/bash -e
ctx instance runtime-properties cloudify_agent.queue \"$(ctx instance id)\"
ctx instance runtime-properties cloudify_agent.name \"$(ctx instance id)\"
";

/// A deployment of [`HOSTED`]; its host.
async fn deployed(manager: &Manager) -> String {
    let files = [
        ("blueprint.yaml", HOSTED),
        ("host.sh", HOST),
        ("app.sh", APP),
        ("app.py", CONFIGURE),
        ("wait.sh", WAIT),
    ];
    manager.deploy("hosted", &files).await;
    let host = instance_of(manager, "hosted", "host").await;
    host["id"].as_str().unwrap().to_owned()
}

/// Whether the management interface of RabbitMQ knows something.
async fn there(path: &str) -> bool {
    let url = format!("{}/api/{path}", env::amqp_management_url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).send().await.unwrap().status().is_success()
}

async fn instance_of(manager: &Manager, deployment: &str, node: &str) -> Value {
    let query = format!("node-instances?deployment_id={deployment}&node_id={node}");
    manager.list(&query).await.remove(0)
}

/// Installs, and looks at what the agent has left behind.
async fn installed(manager: &Manager, agent: &str) {
    let install = manager.start("hosted", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let app = instance_of(manager, "hosted", "app").await;
    assert_eq!(
        app["runtime_properties"],
        json!({"ran_by": agent, "words": ["one", "two"], "retries": 1})
    );
    let logs = manager
        .list(&format!("events?execution_id={install}&type=cloudify_log"))
        .await;
    assert!(
        logs.iter().any(|log| log["message"] == "on the host"),
        "{logs:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_librarys_own_client_runs_what_we_send() {
    let manager = Manager::with_agents(|_| {}).await;
    let agent = deployed(&manager).await;
    let _peer = Peer::start(&manager, &agent);
    installed(&manager, &agent).await;
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_for_an_agent_that_never_was_fails() {
    let manager = Manager::with_agents(|_| {}).await;
    let agent = deployed(&manager).await;
    let install = manager.start("hosted", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "failed", "{end}");
    let error = end["error"].as_str().unwrap();
    let expected = format!("Timed out waiting for agent: {agent}");
    assert!(error.contains(&expected), "{error}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_agent_runs_what_we_send_with_a_user_of_its_own() {
    let manager = Manager::with_agents(|_| {}).await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start(&manager, &name).await;
    installed(&manager, &name).await;
    assert!(agent.terminate().success());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_of_other_certificates_wherever_they_are() {
    let manager = Manager::with_agents(|_| {}).await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start(&manager, &name).await;
    installed(&manager, &name).await;
    let authority = rcgen::generate_simple_self_signed(vec!["m2".to_owned()]).unwrap();
    let pem = authority.cert.pem();
    let news = json!({"bundle": true, "manager_ca_cert": pem, "broker_ca_cert": null});
    let (status, told) = manager.call("PATCH", "agents", Some(news)).await;
    assert_eq!(
        (status, told),
        (200, json!({"number_of_updated_agents": 1}))
    );
    let kept = agent.work_dir().join("manager_ca.pem");
    let is_kept = async || std::fs::read_to_string(&kept).is_ok_and(|text| text.contains(&pem));
    until(is_kept).await;
    let bundle = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2, "{bundle}");
    agent.terminate();
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_installs_a_plugin_when_it_is_asked_to() {
    let manager = Manager::with_agents(|_| {}).await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start(&manager, &name).await;
    // it is there once it has run something
    installed(&manager, &name).await;
    // one that is known, but has never been there
    let silent = json!({
        "node_instance_id": name, "state": "started", "create_rabbitmq_user": false,
        "install_method": "provided", "rabbitmq_exchange": "silent",
    });
    let (status, known) = manager.call("PUT", "agents/silent", Some(silent)).await;
    assert_eq!(status, 200, "{known}");
    let wagon = Wagon {
        package: "demo-plugin",
        version: "1.0",
        tasks: "",
    };
    let id = manager
        .upload_plugin(wagon.with_yaml("plugins: {}\n"))
        .await;
    let path = format!("plugins/{id}");
    let unknown = json!({"action": "install", "agents": [name, "nosuch"]});
    let (status, refused) = manager.call("POST", &path, Some(unknown)).await;
    assert_eq!(status, 404, "{refused}");
    let states = async || {
        let plugin = manager.get(&path).await;
        let all = plugin["installation_state"].as_array().unwrap().iter();
        let state = |one: &Value| (one["agent"].clone(), one["state"].clone());
        all.map(state).collect::<Vec<_>>()
    };
    assert_eq!(states().await, []);

    let asked = json!({"action": "install", "agents": [name, "silent", name]});
    let (status, answer) = manager.call("POST", &path, Some(asked)).await;
    assert_eq!(status, 200, "{answer}");
    let done = (json!(name), json!("installed"));
    until(async || states().await.contains(&done)).await;
    let expected = [done, (json!("silent"), json!("error"))];
    assert_eq!(states().await, expected);
    let environment = agent
        .work_dir()
        .join("plugins")
        .join(manager.tenant())
        .join("demo-plugin/1.0");
    assert!(environment.join("bin/python").exists());

    // it is told that the plugin is gone, too
    let force = Some(json!({"force": false}));
    let (status, answer) = manager.call("DELETE", &path, force).await;
    assert_eq!(status, 204, "{answer}");
    until(async || !environment.exists()).await;
    agent.terminate();
    manager.stop().await;
}
