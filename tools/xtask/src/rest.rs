//! As much of a REST client as a demonstration needs.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// `admin:admin`, as a fresh private environment is made.
const CREDENTIALS: &str = "Basic YWRtaW46YWRtaW4=";
const TIMEOUT: Duration = Duration::from_secs(150);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Rest {
    agent: Agent,
    base: String,
}

/// What a request led to, when it was understood.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Value),
    /// It is there already.
    Conflict,
}

impl Rest {
    pub(crate) fn new(port: u16) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self {
            agent: config.new_agent(),
            base: format!("http://127.0.0.1:{port}"),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        let request = self.agent.get(format!("{}/readyz", self.base));
        let request = request.config().timeout_global(Some(PROBE_TIMEOUT)).build();
        request
            .call()
            .is_ok_and(|reply| reply.status().is_success())
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let request = self
            .agent
            .get(self.url(path))
            .header("Authorization", CREDENTIALS);
        match read(path, request.header("Tenant", "default_tenant").call())? {
            Answer::Done(value) => Ok(value),
            Answer::Conflict => bail!("{path}: a conflict where nothing was asked for"),
        }
    }

    pub(crate) fn put_bytes(&self, path: &str, bytes: &[u8]) -> Result<Answer> {
        let request = self
            .agent
            .put(self.url(path))
            .header("Authorization", CREDENTIALS);
        let request = request.header("Content-Type", "application/octet-stream");
        read(path, request.header("Tenant", "default_tenant").send(bytes))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self
            .agent
            .put(self.url(path))
            .header("Authorization", CREDENTIALS);
        read(
            path,
            request.header("Tenant", "default_tenant").send_json(body),
        )
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self
            .agent
            .post(self.url(path))
            .header("Authorization", CREDENTIALS);
        read(
            path,
            request.header("Tenant", "default_tenant").send_json(body),
        )
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v3.1/{path}", self.base)
    }
}

fn read(path: &str, reply: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
    let mut reply = reply.with_context(|| format!("{path}: no answer"))?;
    let status = reply.status();
    let text = reply
        .body_mut()
        .read_to_string()
        .with_context(|| format!("{path}: {status}"))?;
    if status.as_u16() == 409 {
        return Ok(Answer::Conflict);
    }
    if !status.is_success() {
        bail!("{path}: {status} {text}");
    }
    let value = serde_json::from_str(&text).with_context(|| format!("{path}: not JSON: {text}"))?;
    Ok(Answer::Done(value))
}
