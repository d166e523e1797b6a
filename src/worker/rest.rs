//! The worker's side of the REST API: one HTTP client for the process, one session per operation
//! with the execution's token.
mod elsewhere;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::OnceCell, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(super) use self::elsewhere::ClientError;
use self::elsewhere::More;
use super::Options;
use crate::names::Names;

const API: &str = "api/v3.1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// For large files.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(1_800);
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// An answer of 500 is given up sooner than silence: it usually does not go away.
const SERVER_ERROR_LIMIT: Duration = Duration::from_secs(60);
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    #[error("{status}: {message}")]
    Refused {
        status: StatusCode,
        code: Option<String>,
        message: String,
    },
    #[error("the manager cannot be reached at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the manager's answer cannot be read")]
    Unreadable(#[source] reqwest::Error),
    #[error("cannot use the CA file {path}")]
    CaFile {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
}

impl RestError {
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The word for the refusal.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }
}

/// Where the manager is and how long to try.
#[derive(Debug)]
pub(super) struct Rest {
    client: Client,
    /// Managers, without a slash at the end.
    urls: Vec<String>,
    /// Which of them was last found to answer.
    chosen: AtomicUsize,
    /// Those that the manager's certificate may be signed with.
    authorities: Vec<Certificate>,
    /// For what is fetched from anybody.
    open: OnceCell<Client>,
    retry_limit: Duration,
    /// Ends the repeating, when the worker has to end.
    give_up: CancellationToken,
}

impl Rest {
    pub(super) async fn new(
        urls: &[String],
        ca_file: Option<&PathBuf>,
        retry_limit: Duration,
        give_up: CancellationToken,
    ) -> Result<Self, RestError> {
        // Fails only when the process has chosen a provider already, and that one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut authorities = Vec::new();
        if let Some(path) = ca_file {
            let failed = |source| RestError::CaFile {
                path: path.clone(),
                source,
            };
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            authorities =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(Box::new(error)))?;
        }
        let client = Client::builder()
            .dns_resolver(Names)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // a host need not have any certificates of its own
            .tls_certs_only(authorities.clone())
            .build();
        Ok(Self {
            authorities,
            open: OnceCell::new(),
            client: client.map_err(RestError::Client)?,
            urls: urls
                .iter()
                .map(|url| url.trim_end_matches('/').to_owned())
                .collect(),
            chosen: AtomicUsize::default(),
            retry_limit,
            give_up,
        })
    }

    /// The manager to ask, with its number.
    fn manager(&self) -> (usize, &str) {
        let chosen = self.chosen.load(Ordering::Relaxed);
        let at = chosen.checked_rem(self.urls.len()).unwrap_or_default();
        (chosen, self.urls.get(at).map_or("", String::as_str))
    }

    /// Asks the next one from now on, unless somebody has decided so already.
    fn leave(&self, chosen: usize) {
        let next = chosen.wrapping_add(1);
        let order = Ordering::Relaxed;
        // whoever was faster has done the same
        let _ = self.chosen.compare_exchange(chosen, next, order, order);
    }

    /// A file of anybody's, without our token, so that authorities of this machine are trusted,
    /// too. For scripts and plugins given by URL.
    pub(super) async fn fetch(&self, url: &str, ca_pem: Option<&str>) -> Result<Bytes, RestError> {
        let unreachable = |source| RestError::Unreachable {
            url: url.to_owned(),
            source,
        };
        let client = match ca_pem {
            None => {
                self.open
                    .get_or_try_init(async || self.trusting(&[]))
                    .await?
            }
            Some(pem) => {
                let given = Certificate::from_pem_bundle(pem.as_bytes());
                &self.trusting(&given.map_err(RestError::Client)?)?
            }
        };
        let response = client.get(url).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        response.bytes().await.map_err(RestError::Unreadable)
    }

    /// A client without our token that trusts this machine's authorities, the manager's, and more.
    fn trusting(&self, more: &[Certificate]) -> Result<Client, RestError> {
        let trusted = self.authorities.iter().chain(more);
        Client::builder()
            .dns_resolver(Names)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .tls_certs_merge(trusted.cloned())
            .build()
            .map_err(RestError::Client)
    }
}

/// What a session proves itself with: name of the header, and the token.
#[derive(Clone)]
struct Token(&'static str, String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Speaks for one execution, or for the user who gave a token.
#[derive(Clone, Debug)]
pub(super) struct Session {
    rest: Arc<Rest>,
    /// Other managers may be content with headers of their own.
    token: Option<Token>,
    tenant: String,
    bypass_maintenance: bool,
    /// For other managers and tenants.
    more: Option<Arc<More>>,
}

impl Session {
    pub(super) fn new(
        rest: Arc<Rest>,
        token: &str,
        tenant: &str,
        bypass_maintenance: bool,
    ) -> Self {
        Self {
            rest,
            token: Some(Token("Execution-Token", token.to_owned())),
            tenant: tenant.to_owned(),
            bypass_maintenance,
            more: None,
        }
    }

    /// With an access token instead of an execution's.
    pub(super) fn of_user(rest: Arc<Rest>, token: &str, tenant: &str) -> Self {
        Self {
            token: Some(Token("Authentication-Token", token.to_owned())),
            ..Self::new(rest, token, tenant, false)
        }
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn rest(&self) -> &Rest {
        &self.rest
    }

    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Value, RestError> {
        let request = |url: &str| self.request(Method::GET, url).query(query);
        json_of(self.send(&self.api(path), request).await?).await
    }

    pub(super) async fn patch(&self, path: &[&str], body: &Value) -> Result<Value, RestError> {
        let request = |url: &str| self.request(Method::PATCH, url).json(body);
        json_of(self.send(&self.api(path), request).await?).await
    }

    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, RestError> {
        let request = |url: &str| self.request(Method::POST, url).json(body);
        json_of(self.send(&self.api(path), request).await?).await
    }

    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, RestError> {
        self.put_asking(path, &[], body).await
    }

    /// As [`Session::put`], with a query.
    pub(super) async fn put_asking(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value, RestError> {
        let target = self.api(path);
        let request = |url: &str| self.request(Method::PUT, url).query(query).json(body);
        json_of(self.send(&target, request).await?).await
    }

    /// Puts a file there, or posts it to be taken in.
    pub(super) async fn upload(
        &self,
        (method, path): (Method, &[&str]),
        query: &[(&str, &str)],
        content: Bytes,
    ) -> Result<Value, RestError> {
        let request = |url: &str| {
            let request = self.request(method.clone(), url).query(query);
            request.timeout(DOWNLOAD_TIMEOUT).body(content.clone())
        };
        json_of(self.send(&self.api(path), request).await?).await
    }

    /// Deletes something; null is no body.
    pub(super) async fn delete(&self, path: &[&str], body: &Value) -> Result<(), RestError> {
        let target = self.api(path);
        let request = |url: &str| {
            let request = self.request(Method::DELETE, url);
            match body {
                Value::Null => request,
                body => request.json(body),
            }
        };
        self.send(&target, request).await.map(drop)
    }

    /// Saves what the manager answers with.
    pub(super) async fn download(&self, path: &[&str], file: &Path) -> anyhow::Result<()> {
        let request = |url: &str| self.request(Method::GET, url).timeout(DOWNLOAD_TIMEOUT);
        let mut response = self.send(&self.api(path), request).await?;
        let mut file = tokio::fs::File::create(file).await?;
        while let Some(chunk) = response.chunk().await? {
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(())
    }

    /// A file of the file server; `None` when there is none at this path, nor at another one where
    /// it may be instead.
    pub(super) async fn resource(
        &self,
        (path, or): (&str, Option<&str>),
    ) -> Result<Option<Bytes>, RestError> {
        let or: Vec<_> = or.map(|or| ("or", or)).into_iter().collect();
        // The file server knows the tenant from the token, and takes no other header.
        let request = |url: &str| self.proved(self.rest.client.get(url)).query(&or);
        match self.send(&resource(path), request).await {
            Ok(response) => Ok(Some(response.bytes().await.map_err(RestError::Unreadable)?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a file into the resource directory.
    pub(super) async fn store(&self, path: &str, content: &[u8]) -> Result<(), RestError> {
        let content = Bytes::copy_from_slice(content);
        let request = |url: &str| self.request(Method::PUT, url).body(content.clone());
        self.send(&resource(path), request).await.map(drop)
    }

    /// Takes a file out of the resource directory; one that is not there is gone.
    pub(super) async fn unstore(&self, path: &str) -> Result<(), RestError> {
        let request = |url: &str| self.request(Method::DELETE, url);
        match self.send(&resource(path), request).await {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Shows an operation in another state, and records what has been said of its execution.
    pub(super) async fn set_operation_state(
        &self,
        id: &str,
        (state, said): (&str, Option<&Value>),
        worker: &Options,
    ) -> Result<(), RestError> {
        let (own, other) = worker.reporter();
        let body = json!({
            "state": state, "result": null, "exception": null, "exception_causes": null,
            own: worker.name, other: null, "said": said,
        });
        self.patch(&["operations", id], &body).await.map(drop)
    }

    /// Shows an operation as started, for one message. Gives whether an earlier run of it was
    /// interrupted.
    pub(super) async fn claim_operation(
        &self,
        id: &str,
        claim: &Value,
        worker: &Options,
    ) -> Result<bool, RestError> {
        let (own, other) = worker.reporter();
        let body = json!({
            "state": "started", "result": null, "exception": null, "exception_causes": null,
            own: worker.name, other: null, "claim": claim,
        });
        let answer = self.patch(&["operations", id], &body).await?;
        Ok(answer.get("resumes").and_then(Value::as_bool) == Some(true))
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.proved(self.rest.client.request(method, url));
        let request = request.header("Tenant", &self.tenant);
        if self.bypass_maintenance {
            request.header("X-BYPASS-MAINTENANCE", "True")
        } else {
            request
        }
    }

    /// With what tells who asks.
    fn proved(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(more) = &self.more {
            request = request.headers(more.headers.clone()).query(&more.query);
        }
        match &self.token {
            Some(Token(name, value)) => request.header(*name, value),
            None => request,
        }
    }

    /// A request's place below a manager's address.
    fn api(&self, path: &[&str]) -> String {
        let path: Vec<_> = path
            .iter()
            .map(|segment| utf8_percent_encode(segment, PATH).to_string())
            .collect();
        let api = self.more.as_ref().map_or(API, |more| more.api.as_str());
        format!("{api}/{}", path.join("/"))
    }

    /// Silence and 5xx are retried with growing pauses up to the limit; every other answer is
    /// final.
    async fn send(
        &self,
        path: &str,
        request: impl Fn(&str) -> RequestBuilder,
    ) -> Result<Response, RestError> {
        let started = Instant::now();
        let mut pause = BACKOFF_MIN;
        loop {
            let (chosen, manager) = self.rest.manager();
            let url = format!("{manager}/{path}");
            let (error, limit) = match request(&url).send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) if response.status().is_server_error() => {
                    let internal = response.status() == StatusCode::INTERNAL_SERVER_ERROR;
                    let limit = if internal {
                        SERVER_ERROR_LIMIT
                    } else {
                        self.rest.retry_limit
                    };
                    (refused(response).await, limit.min(self.rest.retry_limit))
                }
                Ok(response) => return Err(refused(response).await),
                Err(source) => (
                    RestError::Unreachable {
                        url: url.clone(),
                        // queries may hold what is nobody else's business
                        source: source.without_url(),
                    },
                    self.rest.retry_limit,
                ),
            };
            self.rest.leave(chosen);
            if started.elapsed() + pause > limit {
                return Err(error);
            }
            warn!(%url, %error, pause_ms = pause.as_millis(), "asking the manager again");
            tokio::select! {
                () = self.rest.give_up.cancelled() => return Err(error),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 3 / 2).min(BACKOFF_MAX);
        }
    }
}

/// A file's place below a manager's address.
fn resource(path: &str) -> String {
    let path = utf8_percent_encode(path.trim_start_matches('/'), PATH);
    format!("resources/{path}")
}

async fn json_of(response: Response) -> Result<Value, RestError> {
    let bytes = response.bytes().await;
    let bytes = bytes.map_err(|error| RestError::Unreadable(error.without_url()))?;
    // Some answers have no body.
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn refused(response: Response) -> RestError {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let fields: Value = serde_json::from_str(&body).unwrap_or_default();
    let field = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let fallback = || status.canonical_reason().unwrap_or_default().to_owned();
    let message = field("message").unwrap_or_else(fallback);
    RestError::Refused {
        status,
        code: field("error_code"),
        message,
    }
}
