//! Secrets that are kept elsewhere: in a Vault, or by another manager. Both are asked over HTTP.
use std::time::Duration;

use reqwest::{Client, RequestBuilder, redirect};
use serde_json::{Map, Value};

use crate::error::Error;

/// The manager itself keeps the value.
pub(super) const LOCAL: &str = "local";
const VAULT: &str = "vault";
const CLOUDIFY: &str = "cloudify";
/// Kinds of providers.
pub(super) const KINDS: [&str; 3] = [LOCAL, VAULT, CLOUDIFY];

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Kind of a provider, and how to reach it.
type Provider<'a> = (&'a str, &'a Map<String, Value>);

fn text<'m>(map: &'m Map<String, Value>, names: &[&str]) -> Option<&'m str> {
    names.iter().find_map(|name| map.get(*name)?.as_str())
}

/// Checks that the parameters say enough.
///
/// # Errors
/// 400, naming what is missing.
pub(super) fn check((kind, parameters): Provider<'_>) -> Result<(), Error> {
    let needed: &[&[&str]] = match kind {
        VAULT => &[&["url"], &["token"]],
        CLOUDIFY => &[&["host", "url"], &["user", "username"], &["password"]],
        _ => &[],
    };
    for names in needed {
        if text(parameters, names).is_none() {
            return Err(Error::bad_parameters(format!(
                "The connection parameters of a {kind} provider need `{}`",
                names.join("` or `")
            )));
        }
    }
    Ok(())
}

fn client() -> Result<Client, Error> {
    // fails only when the process has chosen a provider already, and that one is fine
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none())
        .build()
        .map_err(Error::internal)
}

fn base(parameters: &Map<String, Value>, names: &[&str]) -> String {
    let address = text(parameters, names).unwrap_or_default();
    let address = address.trim_end_matches('/');
    match address.contains("://") {
        true => address.to_owned(),
        false => format!("https://{address}"),
    }
}

/// A question to a provider: a path of its API.
fn ask((kind, parameters): Provider<'_>, path: &str) -> Result<RequestBuilder, Error> {
    let client = client()?;
    if kind == VAULT {
        let token = text(parameters, &["token"]).unwrap_or_default();
        let url = format!("{}/v1/{path}", base(parameters, &["url"]));
        let mut request = client.get(url).header("X-Vault-Token", token);
        if let Some(namespace) = text(parameters, &["namespace"]) {
            request = request.header("X-Vault-Namespace", namespace);
        }
        return Ok(request);
    }
    let tenant = text(parameters, &["tenant"]).unwrap_or("default_tenant");
    let user = text(parameters, &["user", "username"]).unwrap_or_default();
    let url = format!("{}/api/v3.1/{path}", base(parameters, &["url", "host"]));
    Ok(client
        .get(url)
        .header("Tenant", tenant)
        .basic_auth(user, text(parameters, &["password"])))
}

/// What a provider answers. Nothing of the request is told in errors but why it failed.
async fn answer(kind: &str, request: RequestBuilder) -> Result<Value, Error> {
    let refuse = |reason: String| {
        Error::bad_parameters(format!(
            "The {kind} secrets provider cannot be used: {reason}"
        ))
    };
    let failed = |error: reqwest::Error| refuse(error.without_url().to_string());
    let mut response = request.send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(refuse(format!("it answered {}", response.status())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(refuse("its answer is too long".to_owned()));
        }
    }
    serde_json::from_slice(&body).map_err(|_| refuse("its answer is no JSON".to_owned()))
}

/// Tries whether a provider answers these parameters.
///
/// # Errors
/// 400 when it does not.
pub(super) async fn try_out(provider: Provider<'_>) -> Result<(), Error> {
    let path = match provider.0 {
        VAULT => "auth/token/lookup-self",
        CLOUDIFY => "secrets?_size=1",
        _ => return Ok(()),
    };
    answer(provider.0, ask(provider, path)?).await?;
    Ok(())
}

/// The value that a provider has for a key. In a Vault it lies below the path of the provider, at
/// the path that the secret's options name, or its key.
///
/// # Errors
/// 400 when the provider does not answer, or has none.
pub(super) async fn read(
    provider: Provider<'_>,
    options: &Map<String, Value>,
    key: &str,
) -> Result<String, Error> {
    let (kind, parameters) = provider;
    let own = text(options, &["path", "key"])
        .unwrap_or(key)
        .trim_matches('/');
    if kind != VAULT {
        let found = answer(kind, ask(provider, &format!("secrets/{own}"))?).await?;
        return Ok(plain(found.get("value").unwrap_or(&Value::Null)));
    }
    let path = match text(parameters, &["path"]) {
        Some(below) => format!("{}/{own}", below.trim_matches('/')),
        None => own.to_owned(),
    };
    let found = answer(kind, ask(provider, &path)?).await?;
    held(&found, key).ok_or_else(|| {
        Error::bad_parameters(format!(
            "The vault secrets provider has nothing for `{key}`"
        ))
    })
}

/// What an answer of a Vault holds for a key, in either version of its key-value store.
fn held(answer: &Value, key: &str) -> Option<String> {
    let data = answer.get("data")?;
    let data = match data.get("data") {
        Some(inner) if data.get("metadata").is_some() => inner,
        _ => data,
    };
    let found = data.get(key).or_else(|| data.get("value"));
    found
        .or(Some(data))
        .filter(|value| !value.is_null())
        .map(plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
