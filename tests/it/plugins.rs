//! Plugins from their upload to their operations: imported by blueprints, installed by the worker,
//! run with the library they are written for.

mod sources;
mod updates;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    env,
    manager::{Manager, until},
    wagon::{Wagon, zip},
};

const YAML: &str = "
tosca_definitions_version: cloudify_dsl_1_4
plugins:
  demo: {executor: central_deployment_agent, package_name: demo-plugin, package_version: '$VERSION'}
node_types:
  demo.nodes.App:
    derived_from: cloudify.nodes.Root
    properties: {size: {default: 3}}
    interfaces:
      cloudify.interfaces.lifecycle:
        create: demo.demo_plugin.tasks.create
        start: {implementation: demo.demo_plugin.tasks.start, inputs: {wait: {default: 0}}}
        stop: {implementation: demo.demo_plugin.tasks.fail, max_retries: 0}
workflows:
  wait:
    mapping: demo.demo_plugin.tasks.wait
    parameters: {marker: {default: ''}, heeds: {default: true}}
  greet:
    mapping: demo.demo_plugin.tasks.greet
    parameters: {name: {default: nobody}, fails: {default: false}}
labels: {made-by: {values: [demo]}}
";

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml, 'plugin:demo-plugin?version=>=1.2,<2']
node_templates:
  app: {type: demo.nodes.App}
";

/// What the operations find out ends up in the runtime properties.
const TASKS: &str = "
import os
import sys
import time
from cloudify import ctx
from cloudify.decorators import operation, workflow
from cloudify.exceptions import NonRecoverableError
from cloudify.workflows import api
VERSION = '$VERSION'
SEEN = []

@operation
def create(**kwargs):
    ctx.logger.info('creating with %s', VERSION)
    ctx.instance.runtime_properties['version'] = VERSION
    ctx.instance.runtime_properties['size'] = ctx.node.properties['size']
    ctx.instance.runtime_properties['hello'] = ctx.get_resource('hello.txt').decode()
    ctx.instance.runtime_properties['prefix'] = sys.prefix == ctx.plugin.prefix

@operation
def start(wait, **kwargs):
    SEEN.append(ctx.instance.id)
    ctx.instance.runtime_properties['seen'] = len(SEEN)
    ctx.instance.runtime_properties['leads'] = os.getpgid(0) == os.getpid()
    ctx.instance.runtime_properties['dispatch'] = os.environ['CLOUDIFY_DISPATCH']

@workflow
def greet(ctx, name, fails, **kwargs):
    if fails:
        raise NonRecoverableError('I do not greet')
    graph = ctx.graph_mode()
    sequence = graph.sequence()
    for instance in ctx.node_instances:
        sequence.add(
            instance.send_event('greeting ' + name),
            instance.execute_operation('cloudify.interfaces.lifecycle.create'),
            instance.execute_operation('cloudify.interfaces.lifecycle.start', {'wait': 0},
                                       allow_kwargs_override=True),
            instance.set_state('started'))
    graph.execute()
    return name

@workflow(resumable=True)
def wait(ctx, marker, heeds, **kwargs):
    ctx.send_event('waiting' + (' again' if ctx.resume else ''))
    while not os.path.exists(marker):
        if heeds and api.has_cancel_request():
            raise api.ExecutionCancelled()
        time.sleep(0.05)

@operation
def fail(**kwargs):
    raise NonRecoverableError('not today')
";

fn plugin(version: &str) -> Vec<u8> {
    let tasks = TASKS.replace("$VERSION", version);
    let wagon = Wagon {
        package: "demo-plugin",
        version,
        tasks: &tasks,
    };
    wagon.with_yaml(&YAML.replace("$VERSION", version))
}

const FILES: [(&str, &str); 2] = [("blueprint.yaml", BLUEPRINT), ("hello.txt", "hello")];

async fn runtime_properties(manager: &Manager, deployment: &str) -> Value {
    let path = format!("node-instances?deployment_id={deployment}");
    manager.list(&path).await[0]["runtime_properties"].clone()
}

/// The states in which a plugin is known to be.
async fn states(manager: &Manager, id: &str) -> Vec<String> {
    let plugin = manager.get(&format!("plugins/{id}")).await;
    let states = plugin["installation_state"].as_array().unwrap();
    let text = |state: &Value| state["state"].as_str().unwrap().to_owned();
    states.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_run_with_the_newest_plugin_that_fits() {
    let manager = Manager::new().await;
    let mut ids = Vec::new();
    for version in ["1.9.0", "1.10.0", "2.0.0"] {
        ids.push(manager.upload_plugin(plugin(version)).await);
    }
    manager.deploy("demo", &FILES).await;
    assert_eq!(states(&manager, &ids[1]).await, [""; 0]);
    let install = manager.start("demo", "install", json!({})).await;
    let end = manager.end(&install).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let expected = json!({
        "version": "1.10.0", "size": 3, "hello": "hello", "prefix": true,
        "seen": 1, "leads": true, "dispatch": "true",
    });
    assert_eq!(runtime_properties(&manager, "demo").await, expected);
    let plugins = manager.list("plugins?package_version=1.10.0").await;
    assert_eq!(plugins[0]["installation_state"][0]["state"], "installed");
    for other in [&ids[0], &ids[2]] {
        assert_eq!(states(&manager, other).await, [""; 0]);
    }
    let logs = format!("events?execution_id={install}&type=cloudify_log");
    let logs = manager.list(&logs).await;
    let is_told = |log: &Value| log["message"] == "creating with 1.10.0";
    assert!(logs.iter().any(is_told), "{logs:?}");

    let failing = manager.start("demo", "uninstall", json!({})).await;
    let end = manager.end(&failing).await;
    assert_eq!(end["status"], "failed", "{end}");
    assert!(
        end["error"].as_str().unwrap().contains("not today"),
        "{end}"
    );

    let (status, refused) = manager
        .call("DELETE", &format!("plugins/{}", ids[1]), None)
        .await;
    assert_eq!(
        (status, &refused["error_code"]),
        (405, &json!("plugin_in_use"))
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_of_plugins_run_and_say_how_they_end() {
    let manager = Manager::new().await;
    manager.upload_plugin(plugin("1.2.0")).await;
    manager.deploy("demo", &FILES).await;
    let parameters = json!({"parameters": {"name": "ann"}});
    let greet = manager.start("demo", "greet", parameters).await;
    let end = manager.end(&greet).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let properties = runtime_properties(&manager, "demo").await;
    assert_eq!(
        (&properties["version"], &properties["seen"]),
        (&json!("1.2.0"), &json!(1))
    );
    let told = manager.told(&greet).await;
    for text in [
        "Starting 'greet' workflow execution",
        "greeting ann",
        "'greet' workflow execution succeeded",
    ] {
        assert!(told.iter().any(|told| told == text), "{text}: {told:?}");
    }
    let states = manager.list("node-instances?deployment_id=demo").await;
    assert_eq!(states[0]["state"], "started");

    let fails = json!({"parameters": {"fails": true}});
    let fails = manager.start("demo", "greet", fails).await;
    let end = manager.end(&fails).await;
    assert_eq!(end["status"], "failed", "{end}");
    assert!(
        end["error"].as_str().unwrap().contains("I do not greet"),
        "{end}"
    );
    manager.stop().await;
}

/// The library speaks plainly to the worker, and the worker with TLS to RabbitMQ.
#[tokio::test(flavor = "multi_thread")]
async fn workflows_of_plugins_run_where_rabbitmq_speaks_tls() {
    let manager = Manager::over_tls().await;
    manager.upload_plugin(plugin("1.2.0")).await;
    manager.deploy("demo", &FILES).await;
    let parameters = json!({"parameters": {"name": "bob"}});
    let end = manager.run("demo", "greet", parameters).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let properties = runtime_properties(&manager, "demo").await;
    assert_eq!(properties["seen"], json!(1));
    manager.stop().await;
}

/// Starts the workflow that waits, and waits until it does.
async fn wait(manager: &Manager, parameters: Value) -> String {
    let parameters = json!({"parameters": parameters});
    let id = manager.start("demo", "wait", parameters).await;
    until(async || manager.told(&id).await.iter().any(|text| text == "waiting")).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_of_plugins_are_cancelled_killed_and_go_on_after_a_restart() {
    let manager = Manager::new().await;
    manager.upload_plugin(plugin("1.2.0")).await;
    manager.deploy("demo", &FILES).await;
    for (action, heeds) in [("cancel", true), ("kill", false)] {
        let id = wait(&manager, json!({"heeds": heeds})).await;
        let cancel = json!({"action": action, "deployment_id": "demo"});
        let (status, answer) = manager
            .call("POST", &format!("executions/{id}"), Some(cancel))
            .await;
        assert_eq!(status, 200, "{answer}");
        let end = manager.end(&id).await;
        assert_eq!(end["status"], "cancelled", "{action}: {end}");
    }
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("go-on");
    let id = wait(&manager, json!({"marker": marker.display().to_string()})).await;
    let manager = manager.restart().await;
    std::fs::write(&marker, "").unwrap();
    let end = manager.end(&id).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let told = manager.told(&id).await;
    assert!(told.iter().any(|text| text == "waiting again"), "{told:?}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interpreters_need_not_stay() {
    let manager = Manager::new().await;
    let alone = manager.restart_with(|settings| settings.resident_interpreters = false);
    let manager = alone.await;
    manager.upload_plugin(plugin("1.2.0")).await;
    manager.deploy("demo", &FILES).await;
    let install = manager.start("demo", "install", json!({})).await;
    assert_eq!(manager.end(&install).await["status"], "terminated");
    let properties = runtime_properties(&manager, "demo").await;
    assert_eq!(
        (&properties["seen"], &properties["version"]),
        (&json!(1), &json!("1.2.0"))
    );
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_installed_and_removed_when_people_say_so() {
    let manager = Manager::new().await;
    let id = manager.upload_plugin(plugin("1.2.0")).await;
    let host = manager.get("managers").await["items"][0]["hostname"].clone();
    let install = json!({"action": "install", "managers": [host]});
    let package = json!({
        "package_name": "hollow", "package_version": "1", "archive_name": "hollow.wgn",
    });
    let hollow = zip(&[("hollow/package.json", package.to_string().as_bytes())]);
    let hollow = manager.upload_plugin(hollow).await;
    let path = format!("plugins/{hollow}");
    manager.call("POST", &path, Some(install.clone())).await;
    until(async || states(&manager, &hollow).await == ["error"]).await;
    let why = manager.get(&path).await["installation_state"][0]["error"].clone();
    assert!(why.as_str().unwrap().contains("hollow==1"), "{why}");

    let path = format!("plugins/{id}");
    let (status, asked) = manager.call("POST", &path, Some(install)).await;
    assert_eq!(status, 200, "{asked}");
    // the worker may be faster than the answer
    let state = asked["installation_state"][0]["state"].as_str().unwrap();
    assert!(
        ["pending-install", "installing", "installed"].contains(&state),
        "{asked}"
    );
    until(async || states(&manager, &id).await == ["installed"]).await;
    let work_dir = manager
        .settings()
        .data_dir
        .join("worker/plugins/default_tenant");
    let installed: PathBuf = work_dir.join("demo-plugin/1.2.0");
    assert!(installed.join("bin/python").exists());
    let (status, _) = manager.call("DELETE", &path, Some(json!({}))).await;
    assert_eq!(status, 204);
    until(async || !installed.exists()).await;
    manager.stop().await;
}

/// The plugins scenario of a session with the real command line.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_keeps_plugins() {
    let manager = Manager::new().await;
    let addr = manager.addr();
    let said = tokio::task::spawn_blocking(move || {
        let home = tempfile::tempdir().unwrap();
        let wagon = Wagon {
            package: "demo-plugin",
            version: "1.2.0",
            tasks: TASKS,
        };
        let path = |name: &str| home.path().join(name).display().to_string();
        let (archive, yaml, saved) = (path(&wagon.file_name()), path("plugin.yaml"), path("saved"));
        std::fs::write(&archive, wagon.build()).unwrap();
        std::fs::write(&yaml, YAML).unwrap();
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        let cfy = |arguments: &[&str]| cfy(home.path(), arguments);
        let password = Manager::PASSWORD;
        cfy(&[
            "profiles",
            "use",
            &host,
            "-u",
            "admin",
            "-p",
            password,
            "-t",
            "default_tenant",
            "--rest-port",
            &port,
        ]);
        cfy(&["plugins", "upload", &archive, "-y", &yaml]);
        let listed = cfy(&["--json", "plugins", "list"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let id = listed[0]["id"].as_str().unwrap();
        cfy(&["plugins", "install", id]);
        let told = cfy(&["plugins", "get", id]);
        cfy(&["plugins", "download", id, "-o", &saved]);
        assert_eq!(std::fs::read(&saved).unwrap(), wagon.build());
        cfy(&["plugins", "set-visibility", id, "-l", "global"]);
        cfy(&["plugins", "delete", id, "-f"]);
        told
    });
    let told = said.await.unwrap();
    assert!(
        told.contains("demo-plugin") && told.contains("1.2.0"),
        "{told}"
    );
    assert!(manager.list("plugins").await.is_empty());
    manager.stop().await;
}

/// What the real command line prints, if all goes well.
#[track_caller]
fn cfy(home: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(env::cfy())
        .args(arguments)
        .env("HOME", home)
        .env("CFY_WORKDIR", home)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let (told, trouble) = (
        String::from_utf8_lossy(&ran.stdout).into_owned(),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{arguments:?}: {told}{trouble}");
    told
}
