//! The REST API, resource by resource, over HTTP.
mod agents;
mod at_once;
mod bad_input;
mod blueprints;
mod client;
mod cluster;
mod coverage;
mod cursors;
mod deployments;
mod event_deletions;
mod filters;
mod groups;
mod hierarchy;
mod inter_deployment_dependencies;
mod license;
mod log_bundles;
mod maintenance;
mod matrix;
mod node_instances;
mod nodes;
mod openapi;
mod permissions;
mod plans;
mod plugins;
mod proxy;
mod resources;
mod said;
mod schedules;
mod schemathesis;
mod searches;
mod secrets;
mod secrets_providers;
mod selections;
mod sites;
mod tags;
mod terms;
mod user_groups;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::server::{Answer, TestServer};

/// An empty zip in base64.
const EMPTY_ZIP: &str = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";

/// An archive of one directory with one file.
pub(crate) fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let path = format!("app/{name}");
    tar.append_data(&mut header, path, content.as_bytes())
        .unwrap();
    tar.into_inner().unwrap()
}

/// Uploads an archive without the workflow that would work it out.
async fn store_blueprint(server: &TestServer, id: &str) -> Answer {
    let path = format!("blueprints/{id}?skip_execution=true&visibility=tenant");
    let body = archive(
        "blueprint.yaml",
        "tosca_definitions_version: cloudify_dsl_1_3\n",
    );
    server
        .send(server.request(Method::PUT, &path).body(body))
        .await
}

/// A blueprint as a workflow elsewhere would have left it.
async fn blueprint(server: &TestServer, id: &str) {
    store_blueprint(server, id).await.expect(201);
    let plan = json!({
        "inputs": {"port": {"type": "integer"}, "name": {"default": "x"}},
        "nodes": [], "workflows": {}, "imported_blueprints": [],
    });
    let change = json!({"plan": plan, "state": "uploaded", "main_file_name": "blueprint.yaml"});
    server
        .patch(&format!("blueprints/{id}"), &change)
        .await
        .expect(200);
}

/// A restored deployment.
async fn deployment(server: &TestServer, blueprint_id: &str, id: &str) -> Value {
    let body = json!({
        "blueprint_id": blueprint_id,
        "workdir_zip": EMPTY_ZIP,
        "inputs": {"port": 1},
        "labels": [{"env": "prod"}],
        "workflows": {"install": {
            "plugin": "default_workflows", "operation": "x", "parameters": {},
            "availability_rules": {"node_instances_active": ["none", "partial"]},
        }},
        "outputs": {"port": {"value": {"get_input": "port"}},
                    "token": {"value": {"get_attribute": ["db", "token"]}}},
        "capabilities": {"plain": {"value": "c"}},
    });
    server
        .put(&format!("deployments/{id}"), &body)
        .await
        .expect(201)
}

/// A node `db` with instances of these ids.
async fn instances(server: &TestServer, deployment_id: &str, ids: &[&str]) {
    let node = json!({"id": "db", "type": "t.Db", "type_hierarchy": ["t.Root", "t.Db"],
        "properties": {"size": 3}});
    server
        .post(
            "nodes",
            &json!({"deployment_id": deployment_id, "nodes": [node]}),
        )
        .await
        .expect(201);
    let instances: Vec<Value> = ids
        .iter()
        .map(|id| json!({"id": id, "node_id": "db", "state": "started"}))
        .collect();
    let body = json!({"deployment_id": deployment_id, "node_instances": instances});
    server.post("node-instances", &body).await.expect(201);
}
