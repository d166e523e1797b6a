//! A whole server in this process, over a database of its own, and a client that talks to it.
use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use stratalog::{
    config::{Hidden, Settings},
    server::{self, Running},
};
use tempfile::TempDir;

use super::database::TestDatabase;

/// The administrator's.
pub(crate) const PASSWORD: &str = "admin-password";

/// A running server. `stop` it at the end of a test.
#[derive(Debug)]
pub(crate) struct TestServer {
    pub(crate) running: Running,
    client: reqwest::Client,
    /// Where its requests go.
    pub(crate) tenant: String,
    // dropped last: the database goes when nobody uses it any more
    data: Option<TempDir>,
    database: TestDatabase,
}

fn settings(database: &TestDatabase, data: &Path) -> Settings {
    let any = "127.0.0.1:0".parse().unwrap();
    Settings {
        database_url: Hidden(database.url().to_owned()),
        data_dir: data.to_owned(),
        rest_listen: any,
        internal_listen: any,
        admin_password: Some(Hidden(PASSWORD.to_owned())),
        ..Settings::default()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON, if the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{shown}");
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A refusal with this status and code, whose message contains these words.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str, words: &str) {
        let body = self.expect(status);
        assert_eq!(body["error_code"], code, "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }

    /// The position the answer is true at.
    pub(crate) fn position(&self) -> i64 {
        let text = self.headers["x-log-position"].to_str().unwrap();
        text.parse().unwrap()
    }
}

impl TestServer {
    /// Starts one without a broker.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// As [`TestServer::start`], with other settings.
    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let database = super::empty_database().await;
        let mut settings = settings(&database, data.path());
        adjust(&mut settings);
        Self::run(settings, database, Some(data)).await
    }

    /// Starts one over a database and files that are there already.
    pub(crate) async fn over(database: TestDatabase, data: &Path) -> Self {
        let settings = settings(&database, data);
        Self::run(settings, database, None).await
    }

    async fn run(settings: Settings, database: TestDatabase, data: Option<TempDir>) -> Self {
        let running = server::start(settings).await.unwrap();
        let ctx = &running.ctx;
        if ctx.settings.run_executions {
            // so that its announcement comes before everything else
            let mut leads = ctx.roles.leads.subscribe();
            leads.wait_for(|leads| *leads).await.unwrap();
        }
        Self {
            running,
            client: reqwest::Client::new(),
            tenant: "default_tenant".to_owned(),
            data,
            database,
        }
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Stops it and starts another over the same database and files.
    pub(crate) async fn restart_with(self, adjust: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.running.ctx.settings.clone();
        self.running.stop().await;
        adjust(&mut settings);
        let server = Self::run(settings, self.database, self.data).await;
        Self {
            tenant: self.tenant,
            ..server
        }
    }

    /// Stops it; another one that runs over the same database takes its place.
    pub(crate) async fn replaced_by(self, running: Running) -> Self {
        self.running.stop().await;
        Self { running, ..self }
    }

    /// Stops it; what it kept stays.
    pub(crate) async fn stop_and_keep(self) -> (TestDatabase, TempDir) {
        self.running.stop().await;
        (
            self.database,
            self.data
                .expect("only asked of servers with files of their own"),
        )
    }

    /// Stops it; its database stays.
    pub(crate) async fn stop_and_give(self) -> TestDatabase {
        self.running.stop().await;
        self.database
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        self.running.stop().await;
    }

    /// Where the log ends.
    pub(crate) fn position(&self) -> i64 {
        *self.running.ctx.store.log().durable().borrow()
    }

    /// A request as nobody, below the API's root or, with a leading slash, the server's.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let addr = self.running.addr;
        let url = match path.strip_prefix('/') {
            Some(path) => format!("http://{addr}/{path}"),
            None => format!("http://{addr}/api/v3.1/{path}"),
        };
        self.client.request(method, url)
    }

    /// A request as the administrator in the tenant that it works in: the default one, or another.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path)
            .basic_auth("admin", Some(PASSWORD))
            .header("Tenant", &self.tenant)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body))
            .await
    }
}
