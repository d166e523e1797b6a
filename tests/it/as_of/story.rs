//! What the manager lives through: a little of everything, with pauses to remember.
use reqwest::Method;
use serde_json::{Value, json};
use stratalog::commands::execution_end;

use super::{Moment, remember};
use crate::{
    rest::archive,
    support::{server::TestServer, wagon::Wagon},
};

const TENANT: &str = "default_tenant";
const BLUEPRINT: &str = "\
tosca_definitions_version: cloudify_dsl_1_3
imports: [cloudify/types/types.yaml]
inputs:
  port: {type: integer, default: 80}
node_templates:
  host:
    type: cloudify.nodes.Root
  app:
    type: cloudify.nodes.Root
    capabilities: {scalable: {properties: {default_instances: 2}}}
    relationships:
      - {type: cloudify.relationships.depends_on, target: host}
outputs:
  port: {value: {get_input: port}}
  token: {value: {get_attribute: [host, token]}}
capabilities:
  token: {value: {get_attribute: [host, token]}}
";

/// Lives, and remembers.
pub(super) async fn tell(server: &TestServer) -> Vec<Moment> {
    // the first login is noted
    server.get("user").await.expect(200);
    let mut moments = vec![remember(server, "the beginning").await];
    people(server).await;
    moments.push(remember(server, "people").await);
    places(server).await;
    moments.push(remember(server, "places").await);
    plugins(server).await;
    moments.push(remember(server, "plugins").await);
    let before = server.position();
    let put = server.request(Method::PUT, "blueprints/shop?visibility=tenant");
    server
        .send(put.body(archive("blueprint.yaml", BLUEPRINT)))
        .await
        .expect(201);
    settle(server, before).await;
    moments.push(remember(server, "a blueprint").await);
    for id in ["spring", "autumn"] {
        deploy(server, id).await;
    }
    moments.push(remember(server, "deployments").await);
    run(server, "spring", "install").await;
    moments.push(remember(server, "an installation").await);
    attributes(server).await;
    dependencies(server).await;
    moments.push(remember(server, "attributes").await);
    run(server, "autumn", "install").await;
    change(server).await;
    moments.push(remember(server, "an update").await);
    support(server).await;
    moments.push(remember(server, "support").await);
    run(server, "spring", "uninstall").await;
    departures(server).await;
    moments.push(remember(server, "departures").await);
    moments
}

async fn people(server: &TestServer) {
    for name in ["ann", "bob"] {
        let user = json!({"username": name, "password": "password"});
        server.put("users", &user).await.expect(201);
    }
    server.post("tenants/shops", &json!({})).await.expect(201);
    for (tenant, user, role) in [("shops", "ann", "manager"), (TENANT, "bob", "viewer")] {
        let member = json!({"tenant_name": tenant, "username": user, "role": role});
        server.put("tenants/users", &member).await.expect(200);
    }
    server
        .post("tokens", &json!({"description": "for the shop"}))
        .await
        .expect(200);
}

async fn places(server: &TestServer) {
    for name in ["north", "south"] {
        let site = json!({"location": "1.5,2.5"});
        server
            .put(&format!("sites/{name}"), &site)
            .await
            .expect(200);
    }
    let named = json!({"new_name": "west"});
    server.post("sites/south", &named).await.expect(200);
    let secret = json!({"value": "sesame"});
    server.put("secrets/door", &secret).await.expect(200);
    let group = json!({"group_name": "staff"});
    server.post("user-groups", &group).await.expect(201);
    let member = json!({"group_name": "staff", "username": "bob"});
    server.put("user-groups/users", &member).await.expect(200);
    let role = json!({"tenant_name": "shops", "group_name": "staff", "role": "user"});
    server.put("tenants/user-groups", &role).await.expect(200);
    server
        .delete("permissions/viewer/site_list")
        .await
        .expect(204);
}

async fn plugins(server: &TestServer) {
    for version in ["1.0", "1.1"] {
        let wagon = Wagon {
            package: "tool",
            version,
            tasks: "",
        };
        let archive = wagon.with_yaml("plugins: {}\nlabels: {made-by: {values: [me]}}\n");
        let path = format!("plugins?id=tool-{version}");
        let upload = server.request(Method::POST, &path);
        server.send(upload.body(archive)).await.expect(201);
    }
    let report = json!({"state": "installed", "manager": "one"});
    server.put("plugins/tool-1.0", &report).await.expect(200);
}

async fn deploy(server: &TestServer, id: &str) {
    let before = server.position();
    let body = json!({"blueprint_id": "shop", "labels": [{"season": id}]});
    server
        .put(&format!("deployments/{id}"), &body)
        .await
        .expect(201);
    settle(server, before).await;
}

async fn run(server: &TestServer, deployment: &str, workflow: &str) {
    let before = server.position();
    let body = json!({"deployment_id": deployment, "workflow_id": workflow});
    server.post("executions", &body).await.expect(201);
    settle(server, before).await;
    let path = format!("executions?deployment_id={deployment}&workflow_id={workflow}");
    let ran = server.get(&path).await.expect(200);
    assert_eq!(ran["items"][0]["status"], "terminated", "{ran}");
}

/// Waits until every execution has ended.
async fn settle(server: &TestServer, after: i64) {
    let ended = ["terminated", "failed", "cancelled"];
    let path = "executions?_include_system_workflows=true&_include=id,status";
    let listed = server.get(path).await.expect(200);
    for execution in listed["items"].as_array().unwrap() {
        if !ended.contains(&execution["status"].as_str().unwrap()) {
            let id = execution["id"].as_str().unwrap();
            let end = execution_end(&server.running.ctx, (TENANT, id), after).await;
            end.unwrap().unwrap();
        }
    }
}

async fn first(server: &TestServer, path: &str) -> Value {
    server.get(path).await.expect(200)["items"][0].clone()
}

async fn attributes(server: &TestServer) {
    let host = first(server, "node-instances?deployment_id=spring&node_id=host").await;
    let path = format!("node-instances/{}", host["id"].as_str().unwrap());
    let mut version = host["version"].as_i64().unwrap();
    for token in ["t1", "t2"] {
        let change = json!({"version": version, "runtime_properties": {"token": token},
            "system_properties": {"status": {"ok": token == "t1"}}});
        let changed = server.patch(&path, &change).await.expect(200);
        version = changed["version"].as_i64().unwrap();
    }
    let execution = first(
        server,
        "executions?deployment_id=spring&workflow_id=install",
    )
    .await;
    let message = |text: &str| json!({"message": {"text": text}, "context": {}});
    let mut log = message("careful");
    log["logger"] = json!("shop");
    log["level"] = json!("warning");
    let mut event = message("something happened");
    event["event_type"] = json!("workflow_event");
    let told = json!({"execution_id": execution["id"], "logs": [log], "events": [event]});
    server.post("events", &told).await.expect(201);
    let labels = json!({"labels": [{"season": "spring"}, {"colour": ["green", "blue"]}],
        "display_name": "Spring time"});
    server
        .patch("deployments/spring", &labels)
        .await
        .expect(200);
    let visible = json!({"visibility": "global"});
    server
        .patch("blueprints/shop/set-visibility", &visible)
        .await
        .expect(200);
    let setting = json!({"value": 5});
    server
        .put("config/rest.account_lock_period", &setting)
        .await
        .expect(200);
    for (name, content) in [("notes.txt", "one"), ("more/notes.txt", "two")] {
        let path = format!("/resources/deployments/{TENANT}/spring/{name}");
        server
            .send(server.request(Method::PUT, &path).body(content))
            .await
            .expect(200);
    }
}

/// The deployment follows another port.
async fn change(server: &TestServer) {
    let before = server.position();
    let body = json!({"inputs": {"port": 81}});
    let path = "deployment-updates/spring/update/initiate";
    server.post(path, &body).await.expect(200);
    settle(server, before).await;
}

async fn dependencies(server: &TestServer) {
    const PATH: &str = "deployments/inter-deployment-dependencies";
    let near = json!({"dependency_creator": "by hand", "source_deployment": "spring",
        "target_deployment": "autumn"});
    server.put(PATH, &near).await.expect(200);
    let far = json!({"dependency_creator": "component.far_1", "source_deployment": " ",
        "target_deployment": "spring", "external_source": {"deployment": "far", "host": ["h"]}});
    server.put(PATH, &far).await.expect(200);
    let wanted = |creator: &str| json!({"dependency_creator": creator});
    let more = json!({"source_deployment_id": "autumn",
        "inter_deployment_dependencies": [wanted("one"), wanted("two")]});
    server.post(PATH, &more).await.expect(200);
    let gone = json!({"dependency_creator": "one", "source_deployment": "autumn",
        "is_component_deletion": true});
    let gone = server.request(Method::DELETE, PATH).json(&gone);
    server.send(gone).await.expect(204);
}

/// What operators do when something is the matter.
async fn support(server: &TestServer) {
    let node = json!({"hostname": "m2", "private_ip": "10.0.0.2", "public_ip": "10.0.0.2",
        "version": "7.1.0", "edition": "community", "distribution": "x", "distro_release": "y"});
    server.post("managers", &node).await.expect(200);
    let broker = json!({"name": "b2", "address": "10.0.0.3"});
    server.post("brokers", &broker).await.expect(200);
    let before = server.position();
    server
        .put("log-bundles/trouble", &json!({}))
        .await
        .expect(201);
    settle(server, before).await;
    server
        .delete("events?deployment_id=autumn&type=cloudify_event")
        .await
        .expect(200);
    server.delete("managers/m2").await.expect(204);
}

async fn departures(server: &TestServer) {
    let before = server.position();
    server.delete("deployments/spring").await.expect(204);
    settle(server, before).await;
    server.delete("users/bob").await;
    let leaver = json!({"tenant_name": "shops", "username": "ann"});
    server
        .send(
            server
                .request(Method::DELETE, "tenants/users")
                .json(&leaver),
        )
        .await
        .expect(204);
    server.delete("user-groups/staff").await.expect(204);
    server.delete("sites/west").await.expect(204);
    server.delete("log-bundles/trouble").await.expect(200);
    server.delete("plugins/tool-1.0").await.expect(204);
    let labels = json!({"labels": {}, "resource_tags": {"a": 1}});
    server.patch("plugins/tool-1.1", &labels).await.expect(200);
    let secret = json!({"value": "open sesame"});
    server.patch("secrets/door", &secret).await.expect(200);
    server
        .post("users/ann", &json!({"role": "sys_admin"}))
        .await
        .expect(200);
    server.delete("tenants/shops").await.expect(204);
    let token = first(server, "tokens").await;
    server
        .delete(&format!("tokens/{}", token["id"].as_str().unwrap()))
        .await
        .expect(204);
    let context = json!({"name": "provider", "context": {"cloudify": {"a": 1}}});
    let update = server.post("provider/context?update=true", &context).await;
    update.expect(200);
    let notes = format!("/resources/deployments/{TENANT}/autumn/notes.txt");
    server
        .send(server.request(Method::PUT, &notes).body("three"))
        .await
        .expect(200);
    server.delete(&notes).await.expect(204);
}
