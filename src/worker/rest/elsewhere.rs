//! Other managers, and other tenants of ours, as the property `client` of a node names them: the
//! arguments of the Python client (`host`, `port`, `protocol`, `api_version`, `headers`,
//! `query_params`, `cert`, `trust_all`, `username`, `password`, `token`, `tenant`).
//!
//! What proves who asks is shown nowhere: headers are marked as sensitive, errors know addresses
//! without their queries, and what is told of a manager is its address and tenant.
use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Certificate, Client, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, Rest, RestError, Session, Token};
use crate::names::Names;

/// Silence of another manager is borne for a shorter time than that of our own.
const RETRY_LIMIT: Duration = Duration::from_secs(120);
/// Ports at which managers are found unless somebody changes them.
const USUAL_PORTS: [u16; 3] = [80, 443, 53_333];
const TENANT: &str = "Tenant";

/// Why a property `client` leads nowhere. Never shows what it holds.
#[derive(Debug, thiserror::Error)]
pub(in crate::worker) enum ClientError {
    #[error("the property `client` has no usable `{0}`")]
    Unusable(&'static str),
    #[error(transparent)]
    Rest(#[from] RestError),
}

/// What is sent beside the token, and where to.
#[derive(Clone)]
pub(super) struct More {
    pub(super) headers: HeaderMap,
    pub(super) query: Vec<(String, String)>,
    /// Beginning of all paths.
    pub(super) api: String,
}

impl fmt::Debug for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.api)
    }
}

/// Where `client` leads to.
#[derive(Debug)]
pub(in crate::worker) struct Elsewhere {
    pub(in crate::worker) session: Session,
    /// It is another manager, or another tenant of ours.
    pub(in crate::worker) is_external: bool,
    /// Its address and tenant.
    pub(in crate::worker) shown: Map<String, Value>,
}

/// An address as it was given.
#[derive(Debug)]
struct Address {
    hosts: Vec<String>,
    port: u16,
    protocol: String,
}

impl Session {
    /// Follows a property `client`; `own_hosts` are further names of our manager.
    ///
    /// # Errors
    /// Fails for values that cannot be used, and for a certificate that cannot be read.
    pub(in crate::worker) async fn elsewhere(
        &self,
        client: &Map<String, Value>,
        own_hosts: &[String],
    ) -> Result<Elsewhere, ClientError> {
        let address = Address::of(client)?;
        let mut headers = headers(client)?;
        let token = token(client)?;
        let named = headers.remove(TENANT);
        let named = named.as_ref().and_then(|tenant| tenant.to_str().ok());
        let tenant = text(client, "tenant").or(named).unwrap_or(&self.tenant);
        let tenant = tenant.to_owned();
        let is_foreign = address
            .as_ref()
            .is_some_and(|address| !self.rest.is_at(address, own_hosts));
        let is_external = is_foreign || tenant != self.tenant;
        let is_anonymous = token.is_none() && headers.is_empty();
        let mut shown = Map::from_iter([("tenant".to_owned(), json!(tenant))]);
        if let Some(address) = &address {
            shown.insert("host".to_owned(), json!(address.hosts));
            shown.insert("port".to_owned(), json!(address.port));
            shown.insert("protocol".to_owned(), json!(address.protocol));
        }
        if is_anonymous && is_external {
            return Err(ClientError::Unusable("token"));
        }
        if is_anonymous {
            let session = self.clone();
            return Ok(Elsewhere {
                session,
                is_external,
                shown,
            });
        }
        let rest = match address.filter(|_| is_foreign) {
            Some(address) => Arc::new(self.rest.foreign(client, &address).await?),
            None => self.rest.clone(),
        };
        let more = More {
            headers,
            query: query(client),
            api: api(client)?,
        };
        let session = Self {
            rest,
            token,
            tenant,
            bypass_maintenance: false,
            more: Some(Arc::new(more)),
        };
        Ok(Elsewhere {
            session,
            is_external,
            shown,
        })
    }
}

impl Rest {
    /// Whether an address is one of our own manager's.
    fn is_at(&self, address: &Address, own_hosts: &[String]) -> bool {
        let own: Vec<Url> = self
            .urls
            .iter()
            .filter_map(|url| url.parse().ok())
            .collect();
        let is_own_port = USUAL_PORTS.contains(&address.port)
            || own
                .iter()
                .any(|url| url.port_or_known_default() == Some(address.port));
        let is_own_host = |host: &String| {
            is_loopback(host)
                || own_hosts.contains(host)
                || own.iter().any(|url| url.host_str() == Some(host))
        };
        is_own_port && address.hosts.iter().any(is_own_host)
    }

    /// For another manager. Redirections are not followed: they would carry the token along.
    async fn foreign(
        &self,
        client: &Map<String, Value>,
        address: &Address,
    ) -> Result<Self, ClientError> {
        let mut builder = Client::builder()
            .dns_resolver(Names)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(Policy::none());
        if let Some(cert) = text(client, "cert") {
            let chain = Certificate::from_pem_bundle(&pem(cert).await?)
                .map_err(|_| ClientError::Unusable("cert"))?;
            builder = builder.tls_certs_merge(chain);
        }
        if client.get("trust_all").is_some_and(is_true) {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        Ok(Self {
            authorities: Vec::new(),
            open: OnceCell::new(),
            client: builder.build().map_err(RestError::Client)?,
            urls: address.urls(),
            chosen: AtomicUsize::default(),
            retry_limit: self.retry_limit.min(RETRY_LIMIT),
            give_up: self.give_up.clone(),
        })
    }
}

impl Address {
    fn of(client: &Map<String, Value>) -> Result<Option<Self>, ClientError> {
        let hosts: Vec<String> = match client.get("host") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(host)) => vec![host.clone()],
            Some(Value::Array(hosts)) => {
                let hosts = hosts.iter().map(|host| host.as_str().map(str::to_owned));
                let hosts: Option<_> = hosts.collect();
                hosts.ok_or(ClientError::Unusable("host"))?
            }
            Some(_) => return Err(ClientError::Unusable("host")),
        };
        if hosts.iter().all(String::is_empty) {
            return Ok(None);
        }
        // an address with a password or a path in it is none
        let is_plain = |host: &String| {
            host.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c))
        };
        if !hosts.iter().all(is_plain) {
            return Err(ClientError::Unusable("host"));
        }
        let protocol = text(client, "protocol").unwrap_or("http").to_lowercase();
        let usual = match protocol.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(ClientError::Unusable("protocol")),
        };
        let port = match client.get("port") {
            None | Some(Value::Null) => Some(usual),
            Some(Value::String(port)) => port.parse().ok(),
            Some(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
        };
        Ok(Some(Self {
            hosts,
            port: port.ok_or(ClientError::Unusable("port"))?,
            protocol,
        }))
    }

    fn urls(&self) -> Vec<String> {
        let Self { port, protocol, .. } = self;
        let url = |host: &String| match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("{protocol}://[{ip}]:{port}"),
            _ => format!("{protocol}://{host}:{port}"),
        };
        self.hosts.iter().map(url).collect()
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A certificate itself, or the path of its file.
async fn pem(cert: &str) -> Result<Vec<u8>, ClientError> {
    if cert.trim_start().starts_with("-----BEGIN") {
        return Ok(cert.as_bytes().to_vec());
    }
    let read = tokio::fs::read(cert).await;
    read.map_err(|error| {
        ClientError::Rest(RestError::CaFile {
            path: PathBuf::from(cert),
            source: Box::new(error),
        })
    })
}

fn token(client: &Map<String, Value>) -> Result<Option<Token>, ClientError> {
    if let (Some(username), Some(password)) = (text(client, "username"), text(client, "password")) {
        let both = STANDARD.encode(format!("{username}:{password}"));
        return Ok(Some(Token("Authorization", format!("Basic {both}"))));
    }
    let token = text(client, "token").map(str::to_owned);
    if token
        .as_ref()
        .is_some_and(|t| HeaderValue::from_str(t).is_err())
    {
        return Err(ClientError::Unusable("token"));
    }
    Ok(token.map(|token| Token("Authentication-Token", token)))
}

fn headers(client: &Map<String, Value>) -> Result<HeaderMap, ClientError> {
    let unusable = || ClientError::Unusable("headers");
    let mut headers = HeaderMap::new();
    for (name, value) in client
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let name: HeaderName = name.parse().map_err(|_| unusable())?;
        let mut value = HeaderValue::from_str(&plain(value)).map_err(|_| unusable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn query(client: &Map<String, Value>) -> Vec<(String, String)> {
    let given = client.get("query_params").and_then(Value::as_object);
    let given = given.into_iter().flatten();
    given
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect()
}

fn api(client: &Map<String, Value>) -> Result<String, ClientError> {
    let Some(version) = text(client, "api_version") else {
        return Ok(super::API.to_owned());
    };
    let numbers = version.strip_prefix('v').unwrap_or_default();
    match !numbers.is_empty() && numbers.chars().all(|c| c.is_ascii_digit() || c == '.') {
        true => Ok(format!("api/{version}")),
        false => Err(ClientError::Unusable("api_version")),
    }
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        other => other == &Value::Bool(true),
    }
}

fn text<'v>(client: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    client.get(name)?.as_str().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
