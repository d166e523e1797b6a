//! One bad request, and what it must be answered with.
use reqwest::Method;
use serde_json::Value;

use crate::support::server::TestServer;

/// One bad request; by the administrator in the default tenant, unless it says otherwise.
#[derive(Debug)]
pub(super) struct Row {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    is_anonymous: bool,
    status: u16,
    code: &'static str,
}

pub(super) fn row(method: &'static str, path: impl Into<String>) -> Row {
    Row {
        method,
        path: path.into(),
        headers: Vec::new(),
        body: None,
        is_anonymous: false,
        status: 0,
        code: "",
    }
}

impl Row {
    /// With a JSON body.
    pub(super) fn json(self, body: Value) -> Self {
        self.text(body.to_string())
    }

    /// With a body that claims to be JSON.
    pub(super) fn text(self, body: impl Into<Vec<u8>>) -> Self {
        self.header("Content-Type", "application/json").bytes(body)
    }

    /// With a body of no type.
    pub(super) fn bytes(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Without the administrator's name and tenant.
    pub(super) fn anonymous(mut self) -> Self {
        self.is_anonymous = true;
        self
    }

    pub(super) fn is(mut self, status: u16, code: &'static str) -> Self {
        (self.status, self.code) = (status, code);
        self
    }

    pub(super) fn bad(self) -> Self {
        self.is(400, "bad_parameters_error")
    }

    pub(super) fn missing(self) -> Self {
        self.is(404, "not_found_error")
    }

    pub(super) fn name(&self) -> String {
        let body = self.body.as_deref().unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let path: String = self.path.chars().take(120).collect();
        format!("{} {path} {:?} {body}", self.method, self.headers)
    }

    /// Sends it; says what is wrong with the answer.
    pub(super) async fn check(&self, server: &TestServer) -> Result<(), String> {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut request = match self.is_anonymous {
            true => server.anonymous(method, &self.path),
            false => server.request(method, &self.path),
        };
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_bytes());
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let answer = server.send(request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let wrong = |what: &str| {
            let shown: String = text.chars().take(300).collect();
            Err(format!(
                "{}\n    {what}, wanted {} {}: {} {shown}",
                self.name(),
                self.status,
                self.code,
                answer.status
            ))
        };
        if answer.status.as_u16() != self.status {
            return wrong("wrong status");
        }
        if !answer.headers.contains_key("x-log-position") {
            return wrong("no position");
        }
        let Ok(body) = serde_json::from_str::<Value>(&text) else {
            return wrong("no JSON");
        };
        if body["error_code"] != self.code {
            return wrong("wrong code");
        }
        match body["message"].as_str() {
            Some(message) if !message.is_empty() => Ok(()),
            _ => wrong("no message"),
        }
    }
}
