//! Agents that hosts install by themselves, from a machine's first boot to its end.

use serde_json::{Value, json};

use super::{instance_of, there};
use crate::support::{
    env,
    manager::{Manager, until},
};

/// Deploys a host that starts as a cloud's does and installs its agent in a directory, where
/// `boot.log` tells how that went.
pub(super) async fn deployed(manager: &Manager, directory: &std::path::Path) {
    let boot = format!(
        "#!/bin/bash -e\n\
         ctx agent init-script > {0}/init.sh\n\
         setsid sh {0}/init.sh < /dev/null > {0}/boot.log 2>&1 &\n",
        directory.display(),
    );
    let blueprint = blueprint(directory);
    let files = [
        ("blueprint.yaml", blueprint.as_str()),
        ("boot.sh", boot.as_str()),
        ("app.sh", APP),
    ];
    manager.deploy("hosted", &files).await;
}

/// A host that starts with a script that it is given.
fn blueprint(directory: &std::path::Path) -> String {
    format!(
        "
tosca_definitions_version: cloudify_dsl_1_5
imports: [cloudify/types/types.yaml]
node_templates:
  host:
    type: cloudify.nodes.Compute
    properties:
      agent_config:
        install_method: init_script
        extra: {{basedir: {}, system_python: {}}}
        process_management: {{name: detach}}
        env: {{GREETING: good day}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {{implementation: boot.sh, executor: central_deployment_agent}}
  app:
    type: cloudify.nodes.SoftwareComponent
    interfaces:
      cloudify.interfaces.lifecycle:
        create: app.sh
    relationships: [{{type: cloudify.relationships.contained_in, target: host}}]
",
        directory.display(),
        env::python().display()
    )
}

const APP: &str = "#!/bin/bash -e
ctx instance runtime-properties ran_by \"$AGENT_NAME\"
ctx instance runtime-properties said \"$GREETING\"
";

pub(super) async fn agents(manager: &Manager) -> Vec<Value> {
    manager.list("agents").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_installs_its_agent_by_itself_and_nothing_is_left_of_it() {
    let manager = Manager::with_agents(|_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    deployed(&manager, directory.path()).await;
    let install = manager.start("hosted", "install", json!({})).await;
    let end = manager.end(&install).await;
    let boot = std::fs::read_to_string(directory.path().join("boot.log")).unwrap_or_default();
    assert_eq!(end["status"], "terminated", "{end}\n{boot}");
    let host = instance_of(&manager, "hosted", "host").await;
    let name = host["id"].as_str().unwrap();
    let app = instance_of(&manager, "hosted", "app").await;
    assert_eq!(
        app["runtime_properties"],
        json!({"ran_by": name, "said": "good day"})
    );
    let property = &host["runtime_properties"]["cloudify_agent"];
    assert_eq!(
        (&property["name"], &property["queue"]),
        (&json!(name), &json!(name))
    );
    assert_eq!(property["install_method"], "init_script");
    assert!(property["broker_pass"].is_null());
    let agent = agents(&manager).await.remove(0);
    assert_eq!(agent["state"], "started");
    assert_eq!(agent["version"], env!("CARGO_PKG_VERSION"));
    assert!(agent["system"].is_string());
    let told = manager.told(&install).await;
    assert!(told.iter().any(|text| text == "Agent started"), "{told:?}");

    let validate = manager.start("hosted", "validate_agents", json!({})).await;
    let end = manager.end(&validate).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let host = instance_of(&manager, "hosted", "host").await;
    assert_eq!(
        host["runtime_properties"]["agent_status"]["agent_alive"],
        true
    );

    let vhost = format!("rabbitmq_vhost_{}", manager.tenant());
    let queue = format!("queues/{vhost}/{name}_operation");
    let user = format!("users/rabbitmq_user_{}_{name}", manager.tenant());
    assert!(there(&queue).await && there(&user).await);
    let uninstall = manager.start("hosted", "uninstall", json!({})).await;
    let end = manager.end(&uninstall).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert!(!there(&queue).await && !there(&user).await);
    assert_eq!(agents(&manager).await[0]["state"], "deleted");
    let host = instance_of(&manager, "hosted", "host").await;
    assert!(host["runtime_properties"]["cloudify_agent"].is_null());
    let runs = std::fs::read_to_string(directory.path().join(name).join("run.pid")).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", runs.trim()));
    until(async || !process.exists()).await;
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_takes_the_place_of_an_old_one() {
    let manager = Manager::with_agents(|_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    deployed(&manager, directory.path()).await;
    let install = manager.start("hosted", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let parameters = json!({"parameters": {"stop_old_agent": true}});
    let renew = manager
        .start("hosted", "install_new_agents", parameters)
        .await;
    let end = manager.end(&renew).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let host = instance_of(&manager, "hosted", "host").await;
    let old = host["id"].as_str().unwrap();
    let properties = &host["runtime_properties"];
    assert_eq!(properties["old_cloudify_agent"]["name"], old);
    let new = properties["cloudify_agent"]["name"].as_str().unwrap();
    assert!(new.starts_with(&format!("{old}_")), "{new}");
    let mut states: Vec<String> = agents(&manager)
        .await
        .iter()
        .map(|agent| agent["state"].as_str().unwrap().to_owned())
        .collect();
    states.sort();
    assert_eq!(states, ["started", "stopped"]);
    let again = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.create", "type_names": [
            "cloudify.nodes.SoftwareComponent"],
    }});
    let execute = manager.start("hosted", "execute_operation", again).await;
    assert_eq!(manager.end(&execute).await["status"], "terminated");
    let app = instance_of(&manager, "hosted", "app").await;
    assert_eq!(app["runtime_properties"]["ran_by"], new);
    let uninstall = manager.start("hosted", "uninstall", json!({})).await;
    assert_eq!(manager.end(&uninstall).await["status"], "terminated");
    manager.stop().await;
}

/// What is behind a link to an installing script, for the administrator or for nobody.
async fn fetch(manager: &Manager, link: &str, is_known: bool) -> (u16, String) {
    let tls = manager.settings().data_dir.join("tls");
    let pem = std::fs::read(tls.join(stratalog::tls::CA_CERT_FILE)).unwrap();
    let authority = reqwest::Certificate::from_pem(&pem).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([authority]);
    let mut request = client.build().unwrap().get(link);
    if is_known {
        request = request.basic_auth("admin", Some(Manager::PASSWORD));
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_provides_a_host_runs_the_script_that_a_link_leads_to() {
    let manager = Manager::with_agents(|_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    let blueprint = blueprint(directory.path());
    let blueprint = blueprint.replace("install_method: init_script", "install_method: provided");
    let files = [
        ("blueprint.yaml", blueprint.as_str()),
        ("boot.sh", "#!/bin/sh\n"),
        ("app.sh", APP),
    ];
    manager.deploy("hosted", &files).await;
    let install = manager.start("hosted", "install", json!({})).await;
    let link = async || {
        let host = instance_of(&manager, "hosted", "host").await;
        let property = &host["runtime_properties"]["cloudify_agent"];
        let link = property["install_script_download_link"].as_str();
        link.map(str::to_owned)
    };
    until(async || link().await.is_some()).await;
    let link = link().await.unwrap();
    assert_eq!(fetch(&manager, &link, false).await.0, 401);
    let (status, script) = fetch(&manager, &link, true).await;
    assert_eq!(status, 200, "{script}");
    let path = directory.path().join("install.sh");
    std::fs::write(&path, script).unwrap();
    let run = std::process::Command::new("bash").arg(&path).output();
    let run = run.unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");

    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let app = instance_of(&manager, "hosted", "app").await;
    let host = instance_of(&manager, "hosted", "host").await;
    assert_eq!(app["runtime_properties"]["ran_by"], host["id"]);
    let end = manager.run("hosted", "uninstall", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    assert_eq!(fetch(&manager, &link, true).await.0, 404);
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_is_given_the_script_as_the_shell_is() {
    let manager = Manager::with_agents(|_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    // what was set before counts, and what is said here goes before what the blueprint says
    let boot = "
from cloudify import ctx
ctx.instance.runtime_properties['ip'] = '10.1.2.3'
given = ctx.agent.init_script({'service_name': 'chosen', 'max_workers': 7})
ctx.instance.runtime_properties['script'] = given
if given:
    with ctx.agent.install_script_download_link({'service_name': 'chosen'}) as link:
        ctx.instance.runtime_properties['link'] = link
";
    let create = json!({"parameters": {
        "operation": "cloudify.interfaces.lifecycle.create", "node_ids": ["host"],
    }});
    for method in ["none", "init_script"] {
        let method = format!("install_method: {method}");
        let blueprint = blueprint(directory.path()).replace("install_method: init_script", &method);
        let blueprint = blueprint.replace("boot.sh", "boot.py");
        let files = [
            ("blueprint.yaml", blueprint.as_str()),
            ("boot.py", boot),
            ("app.sh", APP),
        ];
        let deployment = method.replace("install_method: ", "by_");
        manager.deploy(&deployment, &files).await;
        let created = manager
            .run(&deployment, "execute_operation", create.clone())
            .await;
        assert_eq!(created["status"], "terminated", "{created}");
    }
    let host = instance_of(&manager, "by_none", "host").await;
    assert!(host["runtime_properties"]["script"].is_null(), "{host}");
    let host = instance_of(&manager, "by_init_script", "host").await;
    let script = host["runtime_properties"]["script"].as_str().unwrap();
    assert!(script.contains("--name='chosen'"), "{script}");
    assert!(script.contains("--max-workers='7'"), "{script}");
    let link = host["runtime_properties"]["link"].as_str().unwrap();
    let (status, script) = fetch(&manager, link, true).await;
    assert_eq!(status, 200, "{script}");
    assert!(script.contains("--name='chosen'"), "{script}");
    let known = agents(&manager).await;
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!(
        (&known[0]["id"], &known[0]["ip"]),
        (&json!("chosen"), &json!("10.1.2.3"))
    );
    manager.stop().await;
}
