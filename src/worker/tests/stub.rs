//! A manager as far as a worker sees one: enough of its REST API and file server, with everything
//! it was told.
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use warp::{Filter, path::FullPath};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) executions: HashMap<String, String>,
    pub(super) operations: HashMap<String, String>,
    /// Operations that run for other messages.
    pub(super) taken: Vec<String>,
    /// Claims are answered with 503.
    pub(super) deaf_to_claims: bool,
    /// Every state an operation was given.
    pub(super) states: Vec<(String, String)>,
    pub(super) instances: HashMap<String, Value>,
    pub(super) nodes: HashMap<String, Value>,
    pub(super) files: HashMap<String, String>,
    pub(super) logs: Vec<String>,
    pub(super) events: Vec<String>,
    pub(super) requests: Vec<String>,
    /// The next so many requests are answered with 503.
    pub(super) failures: usize,
    /// Runtime properties that somebody else writes just before our next write.
    pub(super) rival: Option<Value>,
}

#[derive(Clone, Debug)]
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
}

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

impl Stub {
    pub(super) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        let routes = warp::method()
            .and(warp::path::full())
            .and(warp::query::raw().or(warp::any().map(String::new)).unify())
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .map(
                move |method, path: FullPath, query: String, headers: HeaderMap, body: Bytes| {
                    let mut state = shared.lock().unwrap();
                    let path = percent_encoding::percent_decode_str(path.as_str());
                    let path = path.decode_utf8().unwrap().into_owned();
                    state.requests.push(format!("{method} {path}?{query}"));
                    let request = Request {
                        method,
                        path,
                        query,
                        headers,
                        body,
                    };
                    let (status, body) = state.answer(&request);
                    let mut response = Response::new(body);
                    *response.status_mut() = status;
                    response
                },
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let until = stop.clone();
        tokio::spawn(
            warp::serve(routes)
                .incoming(listener)
                .graceful(async move { until.cancelled().await })
                .run(),
        );
        Self {
            address,
            state,
            stop,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

struct Request {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = (StatusCode, String);

fn ok(body: Value) -> Answer {
    (StatusCode::OK, body.to_string())
}

fn error(status: StatusCode, code: &str) -> Answer {
    (
        status,
        json!({"message": code, "error_code": code, "server_traceback": null}).to_string(),
    )
}

impl State {
    #[allow(clippy::too_many_lines, reason = "a table of routes")]
    fn answer(&mut self, request: &Request) -> Answer {
        if self.failures > 0 {
            self.failures -= 1;
            return error(StatusCode::SERVICE_UNAVAILABLE, "not now");
        }
        if request
            .headers
            .get("Execution-Token")
            .is_none_or(|token| token != TOKEN)
        {
            return error(StatusCode::UNAUTHORIZED, "unauthorized_error");
        }
        if let Some(path) = request.path.strip_prefix("/resources/") {
            let query = url::form_urlencoded::parse(request.query.as_bytes());
            let others = query.filter_map(|(name, other)| (name == "or").then_some(other));
            let mut paths = std::iter::once(path.into()).chain(others);
            return match paths.find_map(|path| self.files.get(path.as_ref())) {
                Some(content) => (StatusCode::OK, content.clone()),
                None => (StatusCode::NOT_FOUND, String::new()),
            };
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request
            .path
            .strip_prefix("/api/v3.1/")
            .unwrap_or_default()
            .to_owned();
        let segments: Vec<_> = path.split('/').collect();
        let missing = || error(StatusCode::NOT_FOUND, "not_found_error");
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["executions", id]) => match self.executions.get(*id) {
                Some(status) => ok(json!({"id": id, "status": status})),
                None => missing(),
            },
            ("PATCH", ["operations", _]) if self.deaf_to_claims && !body["claim"].is_null() => {
                error(StatusCode::SERVICE_UNAVAILABLE, "not now")
            }
            ("PATCH", ["operations", id]) if !self.operations.contains_key(*id) => missing(),
            ("PATCH", ["operations", id])
                if !body["claim"].is_null()
                    && (self.taken.iter().any(|taken| taken == id)
                        || self.operations[*id] == "succeeded") =>
            {
                error(StatusCode::CONFLICT, "conflict_error")
            }
            ("PATCH", ["operations", id]) => {
                let before = self.operations[*id].as_str();
                let resumes = matches!(before, "started" | "response-sent");
                let state = body["state"].as_str().unwrap_or_default().to_owned();
                self.states.push(((*id).to_owned(), state.clone()));
                self.operations.insert((*id).to_owned(), state);
                self.hear(&body["said"]);
                ok(json!({"resumes": resumes}))
            }
            ("GET", ["node-instances", id]) => self
                .instances
                .get(*id)
                .map_or_else(missing, |found| ok(found.clone())),
            ("PATCH", ["node-instances", id]) => self.write(id, &body),
            ("GET", ["nodes"]) => {
                let query = url::form_urlencoded::parse(request.query.as_bytes());
                let id = query
                    .into_iter()
                    .find(|(name, _)| name == "id")
                    .map(|(_, id)| id);
                let found = id.and_then(|id| self.nodes.get(id.as_ref()));
                ok(json!({"items": found.into_iter().collect::<Vec<_>>()}))
            }
            ("GET", ["blueprints"]) => ok(json!({"items": []})),
            ("GET", ["blueprints", id]) => {
                ok(json!({"id": id, "visibility": "tenant", "tenant_name": "default_tenant"}))
            }
            ("GET", ["tenants", name]) => ok(json!({"name": name, "rabbitmq_vhost": "v"})),
            ("POST", ["evaluate", "functions"]) => ok(evaluated(&body)),
            ("POST", ["events"]) => {
                self.hear(&body);
                (StatusCode::CREATED, "null".to_owned())
            }
            _ => missing(),
        }
    }

    fn hear(&mut self, said: &Value) {
        let texts = |name: &str| {
            let items = said[name].as_array().cloned().unwrap_or_default();
            items.into_iter().map(|item| {
                let text = item["message"]["text"].as_str().unwrap_or_default();
                let level = item["level"].as_str().map(|level| format!("{level}: "));
                format!("{}{text}", level.unwrap_or_default())
            })
        };
        self.logs.extend(texts("logs"));
        self.events.extend(texts("events"));
    }

    fn write(&mut self, id: &str, body: &Value) -> Answer {
        let Some(instance) = self.instances.get_mut(id) else {
            return error(StatusCode::NOT_FOUND, "not_found_error");
        };
        let bump = |instance: &mut Value| {
            instance["version"] = json!(instance["version"].as_i64().unwrap() + 1);
        };
        if let Some(rival) = self.rival.take() {
            instance["runtime_properties"] = rival;
            bump(instance);
        }
        if body["version"] != instance["version"] {
            return error(StatusCode::CONFLICT, "conflict_error");
        }
        instance["runtime_properties"] = body["runtime_properties"].clone();
        bump(instance);
        ok(instance.clone())
    }
}

/// `{get_attribute: …}` and the like become the text `evaluated`.
fn evaluated(body: &Value) -> Value {
    let mut payload = body["payload"].clone();
    for value in payload.as_object_mut().unwrap().values_mut() {
        if value.is_object() {
            *value = json!("evaluated");
        }
    }
    json!({"payload": payload, "context": body["context"]})
}
