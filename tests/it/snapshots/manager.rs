//! A manager as the tests of snapshots use it.
use std::{
    io::{Cursor, Write as _},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stratalog::{
    config::{Hidden, Settings},
    server::{self, Running},
};
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::support::{database::TestDatabase, empty_database};

const PASSWORD: &str = "admin-password-1";
const BLUEPRINT: &str = "\
tosca_definitions_version: cloudify_dsl_1_4
imports: [cloudify/types/types.yaml]
node_templates:
  app:
    type: cloudify.nodes.Root
";

/// A manager with a database and a data directory of its own.
pub(super) struct Manager {
    database: TestDatabase,
    pub(super) data: TempDir,
    running: Running,
    client: reqwest::Client,
}

pub(super) async fn manager() -> Manager {
    start(empty_database().await, tempfile::tempdir().unwrap()).await
}

pub(super) async fn start(database: TestDatabase, data: TempDir) -> Manager {
    let free = "127.0.0.1:0".parse().unwrap();
    let settings = Settings {
        database_url: Hidden(database.url().to_owned()),
        database_readers: 8,
        data_dir: data.path().to_owned(),
        rest_listen: free,
        internal_listen: free,
        admin_password: Some(Hidden(PASSWORD.to_owned())),
        drain_timeout_s: 5,
        ..Settings::default()
    };
    let running = server::start(settings).await.unwrap();
    Manager {
        database,
        data,
        running,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
    }
}

impl Manager {
    pub(super) async fn stop(self) -> (TestDatabase, TempDir) {
        self.running.stop().await;
        (self.database, self.data)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let prefix = if path.starts_with("/resources") {
            ""
        } else {
            "/api/v3.1"
        };
        let url = format!("http://{}{prefix}{path}", self.running.addr);
        self.client
            .request(method, url)
            .basic_auth("admin", Some(PASSWORD))
            .header("Tenant", "default_tenant")
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self.request(method, path);
        let request = match body {
            Value::Null => request,
            body => request.json(&body),
        };
        let reply = request.send().await.unwrap();
        let status = reply.status();
        (status, reply.json().await.unwrap_or(Value::Null))
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(super) async fn text(&self, path: &str) -> String {
        let reply = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        reply.text().await.unwrap()
    }

    /// Waits until what `path` shows has one of these statuses.
    pub(super) async fn wait(&self, path: &str, statuses: &[&str]) -> Value {
        let look = async {
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            loop {
                tick.tick().await;
                let (status, body) = self.send(Method::GET, path, Value::Null).await;
                if status == 200
                    && let Some(found) = body["status"].as_str()
                    && statuses.contains(&found)
                {
                    return body;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), look).await;
        waited.unwrap_or_else(|_| panic!("{path} never was {statuses:?}"))
    }

    pub(super) async fn upload(&self, id: &str) {
        let reply = self
            .request(Method::PUT, &format!("/blueprints/{id}"))
            .body(blueprint())
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 201, "{}", reply.text().await.unwrap());
    }

    pub(super) async fn deploy(&self, id: &str, blueprint: &str) {
        let body = json!({ "blueprint_id": blueprint });
        let (status, body) = self
            .send(Method::PUT, &format!("/deployments/{id}"), body)
            .await;
        assert_eq!(status, 201, "{body}");
    }

    /// A blueprint, a deployment, a tenant and a file.
    pub(super) async fn fill(&self) {
        self.upload("b1").await;
        self.deploy("d1", "b1").await;
        let (status, body) = self.send(Method::POST, "/tenants/t2", json!({})).await;
        assert_eq!(status, 201, "{body}");
    }

    /// Makes a snapshot and downloads it.
    pub(super) async fn snapshot(&self, id: &str) -> Vec<u8> {
        let path = format!("/snapshots/{id}");
        let (status, execution) = self.send(Method::PUT, &path, json!({})).await;
        assert_eq!(status, 201, "{execution}");
        assert_eq!(execution["workflow_id"], "create_snapshot");
        assert_eq!(execution["status"], "pending");
        assert_eq!(execution["parameters"]["snapshot_id"], id);
        let made = self.wait(&path, &["created", "failed"]).await;
        assert_eq!(made["status"], "created", "{made}");
        assert_eq!(made["error"], "");
        self.download(id).await
    }

    pub(super) async fn download(&self, id: &str) -> Vec<u8> {
        let path = format!("/snapshots/{id}/archive");
        let reply = self.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let disposition = reply.headers()["content-disposition"].to_str().unwrap();
        assert!(disposition.contains(&format!("{id}.zip")), "{disposition}");
        reply.bytes().await.unwrap().to_vec()
    }

    pub(super) async fn take_in(&self, id: &str, archive: &[u8]) -> (StatusCode, Value) {
        let path = format!("/snapshots/{id}/archive");
        let request = self.request(Method::PUT, &path).body(archive.to_vec());
        let reply = request.send().await.unwrap();
        (reply.status(), reply.json().await.unwrap())
    }

    /// Asks for a restore and waits for its end.
    pub(super) async fn restore(&self, id: &str, force: bool) -> Value {
        let path = format!("/snapshots/{id}/restore");
        let body = json!({
            "force": force, "restore_certificates": false, "no_reboot": false,
            "ignore_plugin_failure": false
        });
        let (status, asked) = self.send(Method::POST, &path, body).await;
        assert_eq!(status, 200, "{asked}");
        assert!(asked.get("workflow_id").is_none(), "{asked}");
        let execution = format!("/executions/{}", asked["id"].as_str().unwrap());
        self.wait(&execution, &["terminated", "failed"]).await
    }

    pub(super) async fn database(&self) -> Client {
        self.database.connect().await
    }
}

fn blueprint() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [
        ("b/blueprint.yaml", BLUEPRINT),
        ("b/notes.txt", "as it was"),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
