//! A whole manager in this process, on ports and in a database of its own, spoken to over HTTP.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stratalog::{
    commands::execution_end,
    config::{Hidden, Settings},
    server::{self, Running},
    store,
    db::Database,
};

use super::{broker::TestBroker, database::TestDatabase, env};

const PASSWORD: &str = "admin";
const TENANT: &str = "default_tenant";

/// A running manager. It ends with [`Manager::stop`].
pub(crate) struct Manager {
    running: Running,
    client: reqwest::Client,
    settings: Settings,
    _database: TestDatabase,
    _broker: TestBroker,
    _data: tempfile::TempDir,
}

impl Manager {
    /// Starts one with everything empty.
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new(async |url: &str| {
            store::prepare(&Database::new(url, 2)?).await
        })
        .await;
        let broker = TestBroker::new().await;
        let data = tempfile::tempdir().unwrap();
        let settings = Settings {
            database_url: Hidden(database.url().to_owned()),
            amqp_url: Some(Hidden(broker.url().to_owned())),
            data_dir: data.path().to_owned(),
            rest_listen: ([127, 0, 0, 1], 0).into(),
            internal_listen: ([127, 0, 0, 1], 0).into(),
            admin_password: Some(Hidden(PASSWORD.to_owned())),
            python: env::python(),
            drain_timeout_s: 2,
            ..Settings::default()
        };
        Self {
            running: server::start(settings.clone()).await.unwrap(),
            client: reqwest::Client::new(),
            settings,
            _database: database,
            _broker: broker,
            _data: data,
        }
    }

    /// Ends this process's server and starts another over the same database, broker and files.
    pub(crate) async fn restart(mut self) -> Self {
        self.running.stop().await;
        self.running = server::start(self.settings.clone()).await.unwrap();
        self
    }

    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}/api/v3.1/{path}", self.running.addr);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client
            .request(method, url)
            .basic_auth("admin", Some(PASSWORD))
            .header("Tenant", TENANT)
    }

    /// A request with a JSON body, if any; its status and answer.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// The items of a list, all of them.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let body = self.get(&format!("{path}{separator}_get_all_results=true")).await;
        body["items"].as_array().unwrap().clone()
    }

    /// Uploads a blueprint of some files and creates a deployment `id` from it.
    pub(crate) async fn deploy(&self, id: &str, files: &[(&str, &str)]) {
        let response = self
            .request("PUT", &format!("blueprints/{id}?application_file_name=blueprint.yaml"))
            .header("Content-Type", "application/octet-stream")
            .body(archive(files))
            .send()
            .await
            .unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{text}");
        let body = json!({"blueprint_id": id, "inputs": {}});
        let (status, created) = self.call("PUT", &format!("deployments/{id}"), Some(body)).await;
        assert_eq!(status, 201, "{created}");
        for execution in self.list(&format!("executions?deployment_id={id}")).await {
            let end = self.end(execution["id"].as_str().unwrap()).await;
            assert_eq!(end["status"], "terminated", "{end}");
        }
    }

    /// Starts a workflow; its execution.
    pub(crate) async fn start(&self, deployment: &str, workflow: &str, more: Value) -> String {
        let mut body = json!({"deployment_id": deployment, "workflow_id": workflow});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, execution) = self.call("POST", "executions", Some(body)).await;
        assert_eq!(status, 201, "{execution}");
        execution["id"].as_str().unwrap().to_owned()
    }

    /// Where the log ends.
    pub(crate) fn position(&self) -> i64 {
        *self.running.ctx.store.log().durable().borrow()
    }

    /// Waits for the end of an execution that may have come already; the execution then, if it is still there.
    pub(crate) async fn end(&self, id: &str) -> Value {
        self.end_after(id, 0).await
    }

    /// As [`Manager::end`], for an end after a position.
    pub(crate) async fn end_after(&self, id: &str, position: i64) -> Value {
        let ctx = &self.running.ctx;
        let ended = execution_end(ctx, (TENANT, id), position).await.unwrap();
        let ended = ended.unwrap_or_else(|| panic!("the execution {id} never ended"));
        let (status, execution) = self.call("GET", &format!("executions/{id}"), None).await;
        match status {
            200 => execution,
            _ => json!({"status": ended.status, "error": ended.error}),
        }
    }

    /// The texts of an execution's events, in order.
    pub(crate) async fn told(&self, id: &str) -> Vec<String> {
        let events = self
            .list(&format!("events?execution_id={id}&type=cloudify_event&_size=10000"))
            .await;
        let text = |event: &Value| event["message"].as_str().unwrap().to_owned();
        events.iter().map(text).collect()
    }
}

/// A `tar.gz` with one directory.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut path = String::from("blueprint/");
        write!(path, "{name}").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}
