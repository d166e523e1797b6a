//! Virtual hosts, users and permissions of tenants and agents, through the broker's management HTTP
//! API.
use std::{path::PathBuf, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::{Rng, distr::Distribution};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const PASSWORD_LEN: usize = 32;
const PASSWORD_CHARACTERS: &[u8] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// What tenants and agents may send events and logs to, in the virtual host `/`.
const TENANT_TELEMETRY: &str = "^cloudify-(events-topic|events|logs|monitoring)$";
const AGENT_TELEMETRY: &str = "^cloudify-(events-topic|logs|monitoring)$";

#[derive(Clone, Debug)]
pub struct AdminOptions {
    /// Base addresses of the management API (`http://127.0.0.1:15672`), tried in turn.
    pub urls: Vec<String>,
    pub username: String,
    pub password: String,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("the broker's management API cannot be reached")]
    Unreachable(#[source] Option<reqwest::Error>),
    #[error("the broker's management API answered {status} to {method} {path}: {body}")]
    Refused {
        method: Method,
        path: String,
        status: StatusCode,
        body: String,
    },
    #[error("there is a user `{0}` already who is no agent of this tenant")]
    NoAgent(String),
    #[error("cannot use the CA file {path}")]
    CaFile {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Patterns of what a user may configure, write and read in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    pub configure: String,
    pub write: String,
    pub read: String,
}

impl Permissions {
    fn all() -> Self {
        Self::same(".*")
    }

    fn same(pattern: &str) -> Self {
        Self {
            configure: pattern.into(),
            write: pattern.into(),
            read: pattern.into(),
        }
    }

    /// May send there, and receive nothing.
    fn send_only(pattern: &str) -> Self {
        Self {
            read: String::new(),
            ..Self::same(pattern)
        }
    }
}

/// Client of the management API; clones share the connections.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
    options: AdminOptions,
}

impl Admin {
    pub async fn new(options: AdminOptions) -> Result<Self, AdminError> {
        // Fails only when the process has chosen a provider already, and that one is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder().timeout(REQUEST_TIMEOUT);
        if let Some(path) = &options.ca_file {
            let failed = |source| AdminError::CaFile {
                path: path.clone(),
                source,
            };
            let pem = tokio::fs::read(path)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            let chain =
                Certificate::from_pem_bundle(&pem).map_err(|error| failed(Box::new(error)))?;
            builder = builder.tls_certs_only(chain);
        }
        Ok(Self {
            client: builder.build().map_err(AdminError::Client)?,
            options,
        })
    }

    /// A tenant's virtual host and user, with the policies of `/`. Safe to repeat; sets the
    /// password again.
    pub async fn ensure_tenant(&self, tenant: &str, password: &str) -> Result<(), AdminError> {
        let (vhost, user) = (tenant_vhost(tenant), tenant_user(tenant));
        self.put(&path(&["vhosts", &vhost]), &json!({})).await?;
        // The broker grants this only to whoever created the virtual host.
        self.permit(&vhost, &self.options.username, &Permissions::all())
            .await?;
        self.copy_policies(&vhost).await?;
        self.put_user(&user, password, "").await?;
        self.permit(&vhost, &user, &Permissions::all()).await?;
        self.permit("/", &user, &Permissions::send_only(TENANT_TELEMETRY))
            .await
    }

    pub async fn delete_tenant(&self, tenant: &str) -> Result<(), AdminError> {
        self.delete(&path(&["vhosts", &tenant_vhost(tenant)]))
            .await?;
        self.delete(&path(&["users", &tenant_user(tenant)])).await
    }

    /// An agent's user, allowed to use its own exchange and queues only. Whoever is no agent of the
    /// tenant, by the tag that is given here, is not touched.
    pub async fn ensure_agent(&self, agent: &AgentUser<'_>) -> Result<(), AdminError> {
        self.check_agent(agent).await?;
        let tag = agent_tag(agent.tenant);
        self.put_user(agent.username, agent.password, &tag).await?;
        let own = Permissions::same(&agent_pattern(agent.exchange));
        self.permit(&tenant_vhost(agent.tenant), agent.username, &own)
            .await?;
        self.permit(
            "/",
            agent.username,
            &Permissions::send_only(AGENT_TELEMETRY),
        )
        .await
    }

    /// Refuses a user who is there already and no agent of the tenant.
    pub async fn check_agent(&self, agent: &AgentUser<'_>) -> Result<(), AdminError> {
        let tags = self.tags(agent.username).await?;
        match tags.is_some_and(|tags| !tags.contains(&agent_tag(agent.tenant))) {
            true => Err(AdminError::NoAgent(agent.username.to_owned())),
            false => Ok(()),
        }
    }

    /// Removes the agent's exchange and queues, and its user if it is one of the tenant's agents.
    pub async fn delete_agent(
        &self,
        tenant: &str,
        username: &str,
        exchange: &str,
    ) -> Result<(), AdminError> {
        let vhost = tenant_vhost(tenant);
        self.delete(&path(&["exchanges", &vhost, exchange])).await?;
        for suffix in ["operation", "service"] {
            self.delete(&path(&["queues", &vhost, &format!("{exchange}_{suffix}")]))
                .await?;
        }
        let tags = self.tags(username).await?;
        match tags.is_some_and(|tags| tags.contains(&agent_tag(tenant))) {
            true => self.delete(&path(&["users", username])).await,
            false => Ok(()),
        }
    }

    /// The tags of a user, if there is one.
    async fn tags(&self, user: &str) -> Result<Option<Vec<String>>, AdminError> {
        let Some(found) = self.find(&path(&["users", user])).await? else {
            return Ok(None);
        };
        // older versions answer with one text
        let tags = found.get("tags");
        let text = tags.and_then(Value::as_str).unwrap_or_default();
        let list = tags.and_then(Value::as_array).into_iter().flatten();
        let list = list.filter_map(Value::as_str).chain(text.split(','));
        Ok(Some(list.map(str::to_owned).collect()))
    }

    pub async fn vhosts(&self) -> Result<Vec<String>, AdminError> {
        Ok(names(&self.get("vhosts").await?))
    }

    pub async fn users(&self) -> Result<Vec<String>, AdminError> {
        Ok(names(&self.get("users").await?))
    }

    pub async fn permissions(
        &self,
        vhost: &str,
        user: &str,
    ) -> Result<Option<Permissions>, AdminError> {
        let found = self.find(&path(&["permissions", vhost, user])).await?;
        Ok(found.and_then(|found| serde_json::from_value(found).ok()))
    }

    async fn put_user(&self, user: &str, password: &str, tags: &str) -> Result<(), AdminError> {
        self.put(
            &path(&["users", user]),
            &json!({"password": password, "tags": tags}),
        )
        .await
    }

    async fn permit(
        &self,
        vhost: &str,
        user: &str,
        permissions: &Permissions,
    ) -> Result<(), AdminError> {
        self.put(&path(&["permissions", vhost, user]), &json!(permissions))
            .await
    }

    async fn copy_policies(&self, vhost: &str) -> Result<(), AdminError> {
        let found = self.get(&path(&["policies", "/"])).await?;
        for policy in found.as_array().into_iter().flatten() {
            let Some(name) = policy.get("name").and_then(Value::as_str) else {
                continue;
            };
            let copy = json!({
                "pattern": policy.get("pattern"),
                "definition": policy.get("definition"),
                "priority": policy.get("priority"),
                "apply-to": policy.get("apply-to"),
            });
            self.put(&path(&["policies", vhost, name]), &copy).await?;
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, AdminError> {
        let response = self.send(Method::GET, path, None).await?;
        response
            .json()
            .await
            .map_err(|error| AdminError::Unreachable(Some(error)))
    }

    /// What is there, if anything is.
    async fn find(&self, path: &str) -> Result<Option<Value>, AdminError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(AdminError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, path: &str, body: &Value) -> Result<(), AdminError> {
        self.send(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// What is not there need not be deleted.
    async fn delete(&self, path: &str) -> Result<(), AdminError> {
        match self.send(Method::DELETE, path, None).await {
            Ok(_)
            | Err(AdminError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks one address after the other until one answers. An answer of 5xx counts as none, a 4xx
    /// is definite.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<reqwest::Response, AdminError> {
        let mut last = AdminError::Unreachable(None);
        for base in &self.options.urls {
            let url = format!("{}/api/{path}", base.trim_end_matches('/'));
            let mut request = self
                .client
                .request(method.clone(), url)
                .basic_auth(&self.options.username, Some(&self.options.password));
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => {
                    last = AdminError::Unreachable(Some(error));
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let body = response.text().await.unwrap_or_default();
            last = AdminError::Refused {
                method: method.clone(),
                path: path.to_owned(),
                status,
                body,
            };
            if !status.is_server_error() {
                break;
            }
        }
        Err(last)
    }
}

/// Whom [`Admin::ensure_agent`] lets in.
#[derive(Clone, Copy, Debug)]
pub struct AgentUser<'a> {
    pub tenant: &'a str,
    pub username: &'a str,
    pub password: &'a str,
    pub exchange: &'a str,
}

pub fn tenant_vhost(tenant: &str) -> String {
    format!("rabbitmq_vhost_{tenant}")
}

pub fn tenant_user(tenant: &str) -> String {
    format!("rabbitmq_user_{tenant}")
}

/// What tells agents' users of a tenant from all others. RabbitMQ does not keep every character of
/// a tag as it is.
fn agent_tag(tenant: &str) -> String {
    let digest = Sha256::digest(tenant);
    format!("agent_of_{}", hex::encode(digest))
}

/// A password for a tenant's or agent's user.
pub fn generate_password<R: Rng>(rng: &mut R) -> String {
    let characters = rand::distr::slice::Choose::new(PASSWORD_CHARACTERS)
        .expect("the list of characters is not empty");
    characters
        .sample_iter(rng)
        .take(PASSWORD_LEN)
        .map(|byte| char::from(*byte))
        .collect()
}

fn agent_pattern(exchange: &str) -> String {
    let own = regex::escape(exchange);
    let queues = "operation|workflow|service|response_.*";
    format!("^(cloudify-(events-topic|logs|monitoring)|{own}($|_({queues})))$")
}

fn path(segments: &[&str]) -> String {
    let encoded: Vec<_> = segments
        .iter()
        .map(|segment| utf8_percent_encode(segment, SEGMENT).to_string())
        .collect();
    encoded.join("/")
}

fn names(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| Some(item.get("name")?.as_str()?.to_owned()))
        .collect()
}
