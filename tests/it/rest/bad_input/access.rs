//! Callers who are nobody, in no tenant, or not permitted; paths that lead elsewhere.
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::row::{Row, row};
use crate::support::server::TestServer;

/// `viewer:password`, `stranger:password`, `nobody:password`.
const VIEWER: &str = "Basic dmlld2VyOnBhc3N3b3Jk";
const STRANGER: &str = "Basic c3RyYW5nZXI6cGFzc3dvcmQ=";
const NOBODY: &str = "Basic bm9ib2R5OnBhc3N3b3Jk";

pub(super) fn rows() -> Vec<Row> {
    let anonymous = |name, value: &str| {
        let row = row("GET", "blueprints").anonymous();
        row.header("Tenant", "default_tenant")
            .header(name, value)
            .is(401, "unauthorized_error")
    };
    let by = |who: &str, method, path: &str| {
        let row = row(method, path).anonymous().header("Authorization", who);
        row.header("Tenant", "default_tenant")
    };
    let forbidden = "forbidden_error";
    let elsewhere = row("GET", "blueprints")
        .anonymous()
        .header("Authorization", VIEWER);
    let unknown = row("GET", "blueprints")
        .anonymous()
        .header("Authorization", VIEWER);
    let zip = json!({"blueprint_id": "bp", "inputs": {"port": 1}});
    vec![
        row("GET", "blueprints")
            .anonymous()
            .is(401, "unauthorized_error"),
        row("PUT", "deployments/d")
            .anonymous()
            .json(zip.clone())
            .is(401, "unauthorized_error"),
        row(
            "GET",
            "/resources/blueprints/default_tenant/bp/blueprint.yaml",
        )
        .anonymous()
        .is(401, "unauthorized_error"),
        anonymous("Authorization", "Bearer x"),
        anonymous("Authorization", "Basic"),
        anonymous("Authorization", "Basic ?????"),
        anonymous("Authorization", "Basic bm9jb2xvbg=="),
        anonymous("Authorization", NOBODY),
        anonymous("Authentication-Token", "nonsense"),
        anonymous("Authentication-Token", "ctok-0123456789-nonsense"),
        anonymous("Execution-Token", "00000000000000000000000000000000"),
        elsewhere.is(403, forbidden),
        unknown.header("Tenant", "nowhere").is(403, forbidden),
        by(STRANGER, "GET", "blueprints").is(403, forbidden),
        by(STRANGER, "GET", "deployments/dep").is(403, forbidden),
        by(VIEWER, "PUT", "deployments/d")
            .json(zip)
            .is(403, forbidden),
        by(VIEWER, "DELETE", "blueprints/bp").is(403, forbidden),
        by(VIEWER, "PATCH", "node-instances/db_1")
            .json(json!({"version": 2}))
            .is(403, forbidden),
        by(VIEWER, "GET", "users").is(403, forbidden),
        by(VIEWER, "POST", "tenants/new").is(403, forbidden),
        by(VIEWER, "GET", "permissions").is(401, "unauthorized_error"),
        by(VIEWER, "PUT", "/resources/deployments/default_tenant/dep/x")
            .bytes("x")
            .is(403, forbidden),
        row("PUT", "/resources/blueprints/default_tenant/bp/x")
            .bytes("x")
            .is(403, forbidden),
    ]
}

/// A failed login is an event; nothing else may come of it.
pub(super) async fn a_wrong_password_only_counts(server: &TestServer) {
    let request = server.anonymous(Method::PUT, "deployments/d");
    let request = request.basic_auth("forgetful", Some("wrong"));
    let request = request.json(&json!({"blueprint_id": "bp", "inputs": {"port": 1}}));
    let before = server.position();
    let answer = server.send(request).await;
    answer.refused(401, "unauthorized_error", "Wrong credentials");
    assert_eq!(server.position(), before + 1);
    server
        .get("deployments/d")
        .await
        .refused(404, "not_found_error", "was not found");
}

/// Clients tidy paths up before they send them, so these are written by hand.
pub(super) async fn paths_do_not_leave_their_root(server: &TestServer) {
    let before = server.position();
    for (method, path) in [
        ("GET", "/resources/../../etc/passwd"),
        ("GET", "/resources/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "/resources/..%2f..%2fetc/passwd"),
        (
            "GET",
            "/resources/deployments/default_tenant/dep/../../../blueprints/",
        ),
        (
            "GET",
            "/resources/deployments/default_tenant/%2e%2e/other_tenant/x",
        ),
        (
            "GET",
            "/resources/cloudify_agent/../deployments/default_tenant/dep/x",
        ),
        ("GET", "/resources/blueprints/default_tenant/bp/a%00b"),
        ("GET", "/resources/blueprints/default_tenant/bp/a%5cb"),
        (
            "GET",
            "/resources/blueprints/default_tenant/bp/%c0%ae%c0%ae",
        ),
        ("GET", "/resources/blueprints/default_tenant/bp/%zz"),
        ("PUT", "/resources/deployments/default_tenant/dep/../x"),
        ("PUT", "/resources/deployments/default_tenant/dep/%2e%2e/x"),
        (
            "DELETE",
            "/resources/deployments/default_tenant/dep/../../x",
        ),
    ] {
        let head = raw(server, method, path).await;
        let status = head.split(' ').nth(1).unwrap_or_default();
        assert!(
            ["400", "401", "404"].contains(&status),
            "{method} {path}: {head}"
        );
    }
    assert_eq!(server.position(), before);
}

/// What the server answers to exactly this path.
async fn raw(server: &TestServer, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(server.running.addr).await.unwrap();
    // admin:admin-password
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\
         Authorization: Basic YWRtaW46YWRtaW4tcGFzc3dvcmQ=\r\nTenant: default_tenant\r\n\r\nx"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
