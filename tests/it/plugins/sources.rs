//! Plugins that come with a blueprint, or from an address: installed for one deployment when its
//! first operation needs them.

use serde_json::json;
use warp::Filter;

use crate::{
    agents::HOST,
    support::{
        agents::NativeAgent,
        archive::archive,
        manager::{Manager, until},
    },
};

const BLUEPRINT: &str = "
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml]
plugins:
  brought: {executor: central_deployment_agent, source: $SOURCE}
node_templates:
  app:
    type: cloudify.nodes.Root
    interfaces:
      cloudify.interfaces.lifecycle:
        create: {implementation: brought.brought_plugin.tasks.create, max_retries: 0}
";
/// The same where a host has an agent. `$LOG` is where pip tells what it does.
const HOSTED: &str = "
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml]
plugins:
  brought: {executor: host_agent, source: brought, install_arguments: '--log $LOG'}
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
        create: {implementation: brought.brought_plugin.tasks.create, max_retries: 0}
    relationships: [{type: cloudify.relationships.contained_in, target: host}]
";
const SETUP: &str = "
from setuptools import setup
setup(name='brought-plugin', version='$VERSION', packages=['brought_plugin'])
";
const TASKS: &str = "
import sys
from cloudify import ctx
def create(**kwargs):
    ctx.instance.runtime_properties['version'] = '$VERSION'
    ctx.instance.runtime_properties['in_place'] = sys.prefix == ctx.plugin.prefix
";

/// A package's files below a directory.
fn package(directory: &str, version: &str) -> Vec<(String, String)> {
    let file = |name: &str, text: &str| {
        let path = format!("{directory}{name}");
        (path, text.replace("$VERSION", version))
    };
    vec![
        file("setup.py", SETUP),
        file("brought_plugin/__init__.py", ""),
        file("brought_plugin/tasks.py", TASKS),
    ]
}

/// A blueprint whose plugin has this source, with further files.
fn files(source: &str, more: Vec<(String, String)>) -> Vec<(String, String)> {
    let blueprint = BLUEPRINT.replace("$SOURCE", source);
    let mut files = vec![("blueprint.yaml".to_owned(), blueprint)];
    files.extend(more);
    files
}

async fn deploy(manager: &Manager, id: &str, files: &[(String, String)]) {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    manager.deploy(id, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_the_blueprint_is_installed_for_its_deployment_and_goes_with_it() {
    let manager = Manager::new().await;
    for version in ["1.0", "2.0"] {
        let id = format!("v{version}");
        let files = files("brought", package("plugins/brought/", version));
        deploy(&manager, &id, &files).await;
        let end = manager.run(&id, "install", json!({})).await;
        assert_eq!(end["status"], "terminated", "{end}");
        let app = manager.instance(&id, "app").await;
        assert_eq!(
            app["runtime_properties"],
            json!({"version": version, "in_place": true})
        );
    }
    let root = manager
        .settings()
        .data_dir
        .join("worker/source_plugins/default_tenant");
    let marker = root.join("v1.0/brought/0.0.0/plugin.id");
    assert_eq!(std::fs::read_to_string(marker).unwrap(), "source-v1.0");
    // what agents of other makes install from
    let zip = "resources/blueprints/default_tenant/v1.0/plugins/brought.zip";
    let url = format!("{}/{zip}", manager.url());
    let request = reqwest::Client::new().get(url);
    let request = request.basic_auth("admin", Some(Manager::PASSWORD));
    let zip = request.send().await.unwrap().bytes().await.unwrap();
    let zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    assert!(zip.file_names().any(|name| name == "brought/setup.py"));

    let end = manager.run("v1.0", "uninstall", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let (status, answer) = manager.call("DELETE", "deployments/v1.0", None).await;
    assert_eq!(status, 204, "{answer}");
    until(async || !root.join("v1.0").exists()).await;
    assert!(root.join("v2.0").exists());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_installs_a_directory_of_the_blueprint_as_the_blueprint_says() {
    let manager = Manager::with_agents(|_| {}).await;
    let told = tempfile::tempdir().unwrap();
    let log = told.path().join("pip.log");
    let hosted = HOSTED.replace("$LOG", log.to_str().unwrap());
    let mut files = package("plugins/brought/", "1.0");
    files.push(("blueprint.yaml".to_owned(), hosted));
    files.push(("host.sh".to_owned(), HOST.to_owned()));
    deploy(&manager, "hosted", &files).await;
    let host = manager.instance("hosted", "host").await;
    let mut agent = NativeAgent::start(&manager, host["id"].as_str().unwrap()).await;
    let end = manager.run("hosted", "install", json!({})).await;
    assert_eq!(end["status"], "terminated", "{end}");
    let app = manager.instance("hosted", "app").await;
    assert_eq!(
        app["runtime_properties"],
        json!({"version": "1.0", "in_place": true})
    );
    let place = format!("source_plugins/{}/hosted/brought/0.0.0", manager.tenant());
    assert!(agent.work_dir().join(place).join("plugin.id").exists());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("brought-plugin"), "{log}");
    assert!(agent.terminate().success());
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_may_be_fetched_from_an_address() {
    let manager = Manager::new().await;
    // a server of our own, which answers to anybody
    let files_of_it = package("", "1.5");
    let packed: Vec<(&str, &str)> = files_of_it
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let packed = archive(&packed);
    let served = warp::path("brought.tar.gz").map(move || packed.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = warp::serve(served).incoming(listener).run();
    let url = format!("http://{addr}/brought.tar.gz");
    deploy(&manager, "fetched", &files(&url, Vec::new())).await;
    let install = manager.run("fetched", "install", json!({}));
    let end = tokio::select! {
        end = install => end,
        () = serving => unreachable!("it serves for ever"),
    };
    assert_eq!(end["status"], "terminated", "{end}");
    let app = manager.instance("fetched", "app").await;
    assert_eq!(app["runtime_properties"]["version"], "1.5");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_installed_says_why() {
    let manager = Manager::new().await;
    for (id, source, more, why) in [
        (
            "absent",
            "brought",
            vec![],
            "Resource not found: plugins/brought.zip",
        ),
        ("odd", "ftp://brought/x.zip", vec![], "invalid scheme: ftp"),
        (
            "broken",
            "brought",
            vec![("plugins/brought/setup.py".to_owned(), "1 / 0".to_owned())],
            "ZeroDivisionError",
        ),
    ] {
        deploy(&manager, id, &files(source, more)).await;
        let end = manager.run(id, "install", json!({})).await;
        assert_eq!(end["status"], "failed", "{end}");
        let error = end["error"].as_str().unwrap();
        assert!(
            error.contains("Failed installing source plugin: brought"),
            "{error}"
        );
        assert!(error.contains(why), "{error}");
    }
    manager.stop().await;
}
