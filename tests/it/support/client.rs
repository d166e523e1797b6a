//! A client that does not give up while the server is away.

use std::time::Duration;

use serde_json::Value;

use super::processes::PASSWORD;

const PAUSE: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Position of the log it is true at.
    pub(crate) position: i64,
}

/// Speaks to one server as its first user.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    api: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        // the HTTP client wants a TLS provider even where there is no TLS; a second one is refused
        let _installed = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(TIMEOUT)
                .build()
                .unwrap(),
            api: format!("{url}/api/v3.1"),
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http
            .request(method, format!("{}/{path}", self.api))
            .basic_auth("admin", Some(PASSWORD))
            .header("Tenant", "default_tenant")
    }

    /// Asks once. Nothing when there was no answer, or none that says what became of it.
    pub(crate) async fn once(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let position = response.headers().get("x-log-position");
        let position = position.and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = response.bytes().await.ok()?;
        (status < 500).then(|| Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            position: position.unwrap_or_default(),
        })
    }

    /// Asks until there is an answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        loop {
            if let Some(answer) = self.once(method, path, body).await {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.body
    }

    /// The items of a list, all of them.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let body = self.get(&format!("{path}&_get_all_results=true")).await;
        body["items"].as_array().unwrap().clone()
    }
}
