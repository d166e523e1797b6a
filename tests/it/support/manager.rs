//! A server with a broker and a worker, all that executions need.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use stratalog::{
    commands::execution_end,
    config::{Hidden, Settings},
    context::Context,
    server::{self, Running},
};
use stratalog_projections::At;

use super::{archive::archive, broker::TestBroker, env, processes, server::TestServer};

/// Longest wait for what takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running manager. It ends with [`Manager::stop`].
pub(crate) struct Manager {
    server: TestServer,
    _broker: TestBroker,
}

impl Manager {
    /// Password of the administrator.
    pub(crate) const PASSWORD: &str = super::server::PASSWORD;

    /// Starts one with everything empty.
    pub(crate) async fn new() -> Self {
        Self::new_with(|_| {}).await
    }

    /// One that has agents: it works in a tenant, and so in a virtual host, of its own.
    pub(crate) async fn with_agents(adjust: impl FnOnce(&mut Settings)) -> Self {
        let mut manager = Self::new_with(|settings| {
            settings.amqp_management_url = Some(Hidden(env::amqp_management_url()));
            settings.agent_program = Some(env!("CARGO_BIN_EXE_stratalogd").into());
            let [port] = processes::free_ports();
            settings.internal_listen.set_port(port);
            adjust(settings);
        })
        .await;
        let tenant = format!("agents_{}", uuid::Uuid::now_v7().simple());
        let (status, created) = manager
            .call("POST", &format!("tenants/{tenant}"), None)
            .await;
        assert_eq!(status, 201, "{created}");
        manager.server.tenant = tenant;
        manager
    }

    /// One with agents, for which RabbitMQ is there over TLS only.
    pub(crate) async fn over_tls() -> Self {
        Self::with_agents(|settings| {
            let mut url = url::Url::parse(&env::amqps_url()).unwrap();
            let plain = settings.amqp_url.as_ref().unwrap();
            url.set_path(url::Url::parse(&plain.0).unwrap().path());
            settings.amqp_url = Some(Hidden(url.into()));
            settings.amqp_ca_file = Some(env::amqp_ca_file());
        })
        .await
    }

    async fn new_with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let broker = TestBroker::new().await;
        let server = TestServer::start_with(|settings| {
            settings.amqp_url = Some(Hidden(broker.url().to_owned()));
            settings.python = env::python();
            settings.ctx_command = Some(env!("CARGO_BIN_EXE_stratalogd").into());
            settings.drain_timeout_s = 2;
            adjust(settings);
        });
        Self {
            server: server.await,
            _broker: broker,
        }
    }

    /// Ends this process's server and starts another over the same database, broker and files.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// As [`Manager::restart`], with other settings.
    pub(crate) async fn restart_with(self, adjust: impl FnOnce(&mut Settings)) -> Self {
        Self {
            server: self.server.restart_with(adjust).await,
            ..self
        }
    }

    /// Another manager over the same database, broker and files.
    pub(crate) async fn beside(&self) -> Running {
        let any = "127.0.0.1:0".parse().unwrap();
        let settings = Settings {
            rest_listen: any,
            internal_listen: any,
            ..self.settings().clone()
        };
        server::start(settings).await.unwrap()
    }

    /// Stops it; another manager of [`Manager::beside`] takes its place.
    pub(crate) async fn replaced_by(self, other: Running) -> Self {
        Self {
            server: self.server.replaced_by(other).await,
            ..self
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.server.running.ctx
    }

    /// The tenant it works in.
    pub(crate) fn tenant(&self) -> &str {
        &self.server.tenant
    }

    /// RabbitMQ, with the virtual host that the tenant's agents use.
    pub(crate) fn agents_url(&self) -> String {
        let mut url = url::Url::parse(&env::amqp_url()).unwrap();
        url.set_path(&format!("rabbitmq_vhost_{}", self.tenant()));
        url.into()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.server.running.ctx.settings
    }

    /// Where it listens, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.running.addr)
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    /// A request with a JSON body, if any; its status and answer.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.server.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = self.server.send(request).await;
        let body = serde_json::from_slice(&answer.body);
        (answer.status.as_u16(), body.unwrap_or(Value::Null))
    }

    /// Uploads a plugin; its id.
    pub(crate) async fn upload_plugin(&self, archive: Vec<u8>) -> String {
        let upload = self.server.request(Method::POST, "plugins").body(archive);
        let uploaded = self.server.send(upload).await.expect(201);
        uploaded["id"].as_str().unwrap().to_owned()
    }

    /// Where the server listens.
    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.server.running.addr
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// The items of a list, all of them.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let body = self
            .get(&format!("{path}{separator}_get_all_results=true"))
            .await;
        body["items"].as_array().unwrap().clone()
    }

    /// Uploads a blueprint of some files.
    pub(crate) async fn upload<C: AsRef<[u8]>>(&self, id: &str, files: &[(&str, C)]) {
        let path = format!("blueprints/{id}?application_file_name=blueprint.yaml");
        let upload = self.server.request(Method::PUT, &path);
        let upload = upload.header("Content-Type", "application/octet-stream");
        let answer = self.server.send(upload.body(archive(files))).await;
        assert!(answer.status.is_success(), "{}", answer.json());
    }

    /// Uploads a blueprint of some files and creates a deployment `id` from it.
    pub(crate) async fn deploy<C: AsRef<[u8]>>(&self, id: &str, files: &[(&str, C)]) {
        self.upload(id, files).await;
        let body = json!({"blueprint_id": id, "inputs": {}});
        let (status, created) = self
            .call("PUT", &format!("deployments/{id}"), Some(body))
            .await;
        assert_eq!(status, 201, "{created}");
        for execution in self.list(&format!("executions?deployment_id={id}")).await {
            let end = self.end(execution["id"].as_str().unwrap()).await;
            assert_eq!(end["status"], "terminated", "{end}");
        }
    }

    /// Starts a workflow; its execution.
    pub(crate) async fn start(&self, deployment: &str, workflow: &str, more: Value) -> String {
        let mut body = json!({"deployment_id": deployment, "workflow_id": workflow});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (status, execution) = self.call("POST", "executions", Some(body)).await;
        assert_eq!(status, 201, "{execution}");
        execution["id"].as_str().unwrap().to_owned()
    }

    /// Runs a workflow to its end; the execution then.
    pub(crate) async fn run(&self, deployment: &str, workflow: &str, more: Value) -> Value {
        let id = self.start(deployment, workflow, more).await;
        self.end(&id).await
    }

    /// The one instance of a node.
    pub(crate) async fn instance(&self, deployment: &str, node: &str) -> Value {
        let path = format!("node-instances?deployment_id={deployment}&node_id={node}");
        let mut found = self.list(&path).await;
        assert_eq!(found.len(), 1, "{node}: {found:?}");
        found.remove(0)
    }

    /// Where the log ends.
    pub(crate) async fn position(&self) -> i64 {
        let view = self.server.running.ctx.store.read(At::Now).await.unwrap();
        let head = view.head();
        drop(view.finish().await.unwrap());
        head
    }

    /// Waits for the end of an execution that may have come already; the execution then, if it is
    /// still there.
    pub(crate) async fn end(&self, id: &str) -> Value {
        self.end_after(id, 0).await
    }

    /// As [`Manager::end`], for an end after a position.
    pub(crate) async fn end_after(&self, id: &str, position: i64) -> Value {
        let ctx = &self.server.running.ctx;
        let ended = execution_end(ctx, (self.tenant(), id), position)
            .await
            .unwrap();
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
            .list(&format!(
                "events?execution_id={id}&type=cloudify_event&_size=10000"
            ))
            .await;
        let text = |event: &Value| event["message"].as_str().unwrap().to_owned();
        events.iter().map(text).collect()
    }
}

/// Waits for what the manager does by itself.
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    let reached = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}
