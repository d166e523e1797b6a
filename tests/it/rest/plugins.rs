//! `/plugins`: wagons and their YAML files, states of installations, imports.
use std::io::Cursor;

use reqwest::Method;
use serde_json::{Value, json};

use super::blueprint;
use crate::support::{
    server::{Answer, TestServer},
    wagon::{Wagon, zip},
};

const WAGON: Wagon<'_> = Wagon {
    package: "demo-plugin",
    version: "1.0.0",
    tasks: "",
};
const YAML: &str = "
plugins:
  demo: {executor: central_deployment_agent, package_name: demo-plugin, package_version: 1.0.0}
labels: {Tier: {values: [web, db]}}
blueprint_labels: {env: {values: [prod]}}
resource_tags: {owner: me}
";

async fn upload(server: &TestServer, query: &str, body: Vec<u8>) -> Answer {
    let request = server.request(Method::POST, &format!("plugins{query}"));
    server.send(request.body(body)).await
}

#[tokio::test]
async fn a_plugin_is_uploaded_downloaded_and_looked_back_at() {
    let server = TestServer::start().await;
    let body = WAGON.with_yaml(YAML);
    let made = upload(&server, "?visibility=tenant&title=Demo", body).await;
    let made = made.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["title"], "Demo");
    assert_eq!(made["package_name"], "demo-plugin");
    assert_eq!(made["archive_name"], WAGON.file_name());
    assert_eq!(made["labels"], json!({"Tier": ["web", "db"]}));
    assert_eq!(made["blueprint_labels"], json!({"env": ["prod"]}));
    assert_eq!(made["resource_tags"], json!({"owner": "me"}));
    assert_eq!(made["installation_state"], json!([]));
    let yaml = format!("plugins/{id}/plugin.yaml");
    assert_eq!(made["yaml_files_paths"], json!([yaml]));
    assert_eq!(
        made["yaml_url_path"],
        "plugin:demo-plugin?version=1.0.0&distribution=None"
    );
    let path = format!("plugins/{id}");
    assert_eq!(server.get(&path).await.expect(200), made);
    let listed = server.get("plugins?package_name=demo-plugin&_sort=uploaded_at");
    assert_eq!(listed.await.expect(200)["items"], json!([made]));
    let none = server
        .get("plugins?package_version=2.0.0")
        .await
        .expect(200);
    assert_eq!(none["items"], json!([]));

    assert_eq!(
        server.get(&format!("{path}/archive")).await.body,
        WAGON.build()
    );
    let text = format!("{path}/yaml?dsl_version=cloudify_dsl_1_4");
    assert_eq!(server.get(&text).await.body, YAML.as_bytes());
    assert_eq!(
        server.get(&format!("/resources/{yaml}")).await.body,
        YAML.as_bytes()
    );
    let whole = server.get(&format!("{path}/archive?full_archive=1")).await;
    let whole = zip::ZipArchive::new(Cursor::new(whole.body)).unwrap();
    let mut names: Vec<&str> = whole.file_names().collect();
    names.sort_unstable();
    assert_eq!(names, [WAGON.file_name().as_str(), "plugin.yaml"]);

    let before = server.position();
    server.delete(&path).await.expect(204);
    server.get(&path).await.refused(404, "not_found_error", id);
    let then = server.get(&format!("{path}?_as_of={before}")).await;
    assert_eq!(then.expect(200), made);
    let then = server.get(&format!("{path}/archive?_as_of={before}")).await;
    assert_eq!(then.body, WAGON.build());
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_plugin_or_there_already_is_refused() {
    let server = TestServer::start().await;
    let wagon = WAGON.build();
    let two = zip(&[("a.wgn", &wagon), ("b.wgn", &wagon)]);
    for (body, words) in [
        (b"neither".to_vec(), "only a wagon or a zip"),
        (two, "one wgn file"),
        (zip(&[("plugin.yaml", b"")]), "one wgn file"),
        (zip(&[("a.wgn", b"no wagon")]), "only a wagon or a zip"),
        (zip(&[("x/package.json", b"{}")]), "package_name"),
        (WAGON.with_yaml("- a list"), "no dictionary"),
        (WAGON.with_yaml("labels: {env: {values: x}}"), "values"),
        (WAGON.with_yaml("labels: {'a b': {values: [x]}}"), "illegal"),
    ] {
        let answer = upload(&server, "", body).await;
        answer.refused(400, "invalid_plugin_error", words);
    }
    for name in ["../up", ".hidden", "a/b"] {
        let package = json!({
            "package_name": "p", "package_version": "1", "archive_name": name,
        });
        let body = zip(&[("x/package.json", package.to_string().as_bytes())]);
        let answer = upload(&server, "", body).await;
        answer.refused(400, "invalid_plugin_error", "archive_name");
    }
    let url = upload(&server, "?plugin_archive_url=nowhere", Vec::new()).await;
    url.refused(400, "bad_parameters_error", "Cannot fetch plugin");
    upload(&server, "?id=mine", wagon.clone()).await.expect(201);
    for query in ["", "?id=other", "?visibility=global"] {
        let again = upload(&server, query, WAGON.with_yaml(YAML)).await;
        again.refused(409, "conflict_error", "already exists");
    }
    let other = Wagon {
        version: "1.1.0",
        ..WAGON
    };
    let taken = upload(&server, "?id=mine", other.build()).await;
    taken.refused(409, "conflict_error", "already exists");
    let items = server.get("plugins").await.expect(200);
    assert_eq!(items["items"].as_array().unwrap().len(), 1);
    server.stop().await;
}

/// Several wagons, each with its YAML file.
fn caravan(wagons: &[Wagon<'_>]) -> Vec<u8> {
    let mut index = serde_json::Map::new();
    let mut files = Vec::new();
    for wagon in wagons {
        let path = |name: &str| format!("{}/{name}", wagon.package);
        index.insert(path("a.wgn"), json!(path("plugin.yaml")));
        files.push((path("a.wgn"), wagon.build()));
        files.push((path("plugin.yaml"), YAML.into()));
    }
    files.push((
        "METADATA".to_owned(),
        Value::Object(index).to_string().into(),
    ));
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("bundle/{name}");
        tar.append_data(&mut header, path, content.as_slice())
            .unwrap();
    }
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn of_a_caravan_those_plugins_are_taken_that_are_new() {
    let server = TestServer::start().await;
    upload(&server, "", WAGON.build()).await.expect(201);
    let named = |package: &'static str| Wagon { package, ..WAGON };
    let two = caravan(&[WAGON, named("second-plugin")]);
    let one = caravan(&[named("third-plugin")]);
    for (caravan, package) in [(two.clone(), "second-plugin"), (one, "third-plugin")] {
        let taken = upload(&server, "", caravan).await.expect(201);
        let items = taken["items"].as_array().unwrap();
        let names: Vec<&Value> = items.iter().map(|item| &item["package_name"]).collect();
        assert_eq!(names, [package]);
        assert_eq!(taken["metadata"]["pagination"]["total"], 1);
    }
    let again = upload(&server, "", two).await;
    again.refused(409, "conflict_error", "already exists");
    server.stop().await;
}

#[tokio::test]
async fn installations_are_reported_and_plugins_in_use_stay() {
    let server = TestServer::start().await;
    upload(&server, "?id=p1", WAGON.build()).await.expect(201);
    let report = async |body: Value| server.put("plugins/p1", &body).await;
    report(json!({"state": "installing", "manager": "one"}))
        .await
        .expect(200);
    let told = report(json!({"state": "error", "manager": "one", "error": "no pip"})).await;
    let state = json!([{"state": "error", "error": "no pip", "manager": "one", "agent": null}]);
    assert_eq!(told.expect(200)["installation_state"], state);
    for wrong in [
        json!({"state": "installed"}),
        json!({"state": "installed", "manager": "a", "agent": "b"}),
    ] {
        report(wrong)
            .await
            .refused(409, "conflict_error", "exactly one");
    }
    let wrong = report(json!({"state": "strange", "manager": "one"})).await;
    wrong.refused(400, "bad_parameters_error", "strange");
    let install = async |body: Value| server.post("plugins/p1", &body).await;
    let wrong = install(json!({"action": "remove"})).await;
    wrong.refused(400, "unknown_action", "remove");
    let wrong = install(json!({"action": "install", "managers": ["nosuch"]})).await;
    wrong.refused(404, "not_found_error", "nosuch");

    let labels = json!({"labels": {"env": ["a"]}, "resource_tags": {}});
    let changed = server.patch("plugins/p1", &labels).await.expect(200);
    assert_eq!(changed["labels"], json!({"env": ["a"]}));
    let global = json!({"visibility": "global"});
    let widened = server.patch("plugins/p1/set-visibility", &global).await;
    assert_eq!(widened.expect(200)["visibility"], "global");
    server
        .patch(
            "plugins/p1/set-visibility",
            &json!({"visibility": "tenant"}),
        )
        .await
        .refused(400, "illegal_action_error", "wider");

    blueprint(&server, "bp").await;
    let plan = json!({"deployment_plugins_to_install": [
        {"package_name": "demo-plugin", "package_version": "1.0.0", "install": true},
    ]});
    server
        .patch("blueprints/bp", &json!({"plan": plan}))
        .await
        .expect(200);
    server.delete("plugins/p1").await.refused(
        405,
        "plugin_in_use",
        "currently in use in blueprints: bp",
    );
    let forced = server.request(Method::DELETE, "plugins/p1");
    let forced = forced.json(&json!({"force": true}));
    server.send(forced).await.expect(204);
    assert_eq!(server.get("plugins").await.expect(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_plugin_is_of_its_tenant_and_creator_until_it_is_global() {
    let server = TestServer::start().await;
    upload(&server, "?id=p1", WAGON.with_yaml(YAML))
        .await
        .expect(201);
    server.post("tenants/other", &json!({})).await.expect(201);
    let elsewhere = async |method: Method, path: &str| {
        let request = server.anonymous(method, path);
        let request = request.basic_auth("admin", Some("admin-password"));
        server.send(request.header("Tenant", "other")).await
    };
    for path in ["plugins/p1", "plugins/p1/archive", "plugins/p1/yaml"] {
        elsewhere(Method::GET, path)
            .await
            .refused(404, "not_found_error", "p1");
    }
    let global = json!({"visibility": "global"});
    server
        .patch("plugins/p1/set-visibility", &global)
        .await
        .expect(200);
    elsewhere(Method::GET, "plugins/p1").await.expect(200);
    let archive = elsewhere(Method::GET, "plugins/p1/archive").await;
    assert_eq!(archive.body, WAGON.build());
    elsewhere(Method::DELETE, "plugins/p1").await.refused(
        400,
        "illegal_action_error",
        "outside its tenant",
    );
    let delete = server.delete("tenants/default_tenant").await;
    assert!(!delete.status.is_success(), "{delete:?}");
    server.stop().await;
}
