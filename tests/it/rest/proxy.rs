//! What a proxy in front asks, and hands over: `/file-server-auth`, `/monitoring-auth`,
//! `/file-server-proxy`.
use reqwest::Method;
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::{Answer, TestServer};

async fn ask(server: &TestServer, name: &str, method: &str, uri: &str) -> Answer {
    let request = server
        .anonymous(Method::GET, "file-server-auth")
        .basic_auth(name, Some(format!("{name}-password")))
        .header("X-Original-Uri", uri)
        .header("X-Original-Method", method);
    server.send(request).await
}

#[tokio::test]
async fn files_are_for_members_of_their_tenant() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for name in ["vera", "stranger"] {
        let user = json!({"username": name, "password": format!("{name}-password")});
        server.put("users", &user).await.expect(201);
    }
    let member = json!({"tenant_name": "default_tenant", "username": "vera", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
    let uri = "/resources/blueprints/default_tenant/bp/blueprint.yaml?x=1";
    let yes = ask(&server, "vera", "GET", uri).await.expect(200);
    assert_eq!(yes, json!({"resource_id": null}));
    ask(&server, "stranger", "GET", uri)
        .await
        .refused(403, "forbidden_error", "file_server_auth");
    ask(&server, "nobody", "GET", uri).await.expect(401);
    // as the proxy takes them, these are the same files
    for other in [
        "/%72esources/blueprints/default_tenant/bp/blueprint.yaml",
        "//resources//blueprints/default_tenant/bp/blueprint.yaml",
        "/./resources/blueprints/default_tenant/bp/blueprint.yaml",
    ] {
        ask(&server, "vera", "GET", other).await.expect(200);
        ask(&server, "stranger", "GET", other).await.refused(
            403,
            "forbidden_error",
            "file_server_auth",
        );
    }
    let up = "/api/%2e%2e/resources/blueprints/default_tenant/bp/blueprint.yaml";
    ask(&server, "stranger", "GET", up)
        .await
        .refused(400, "bad_parameters_error", "goes up");
    let wider = json!({"visibility": "global"});
    server
        .patch("blueprints/bp/set-visibility", &wider)
        .await
        .expect(200);
    ask(&server, "stranger", "GET", uri).await.expect(200);
    let away = "/resources/blueprints/default_tenant/../../etc/passwd";
    assert_ne!(ask(&server, "stranger", "GET", away).await.status, 200);
    for method in ["GET", "POST", "DELETE"] {
        ask(&server, "vera", method, "/api/v3.1/audit?size=1")
            .await
            .refused(403, "forbidden_error", "audit_log");
        ask(&server, "admin", method, "/api/v3.1/audit")
            .await
            .expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_for_administrators() {
    let server = TestServer::start().await;
    let user = json!({"username": "vera", "password": "vera-password"});
    server.put("users", &user).await.expect(201);
    let token = |body: Value| body["value"].as_str().unwrap().to_owned();
    let own = server
        .anonymous(Method::POST, "tokens")
        .basic_auth("vera", Some("vera-password"))
        .json(&json!({}));
    let hers = token(server.send(own).await.expect(200));
    let ours = token(server.post("tokens", &json!({})).await.expect(200));
    let with = |cookie: String| {
        server
            .anonymous(Method::GET, "monitoring-auth")
            .header("Cookie", cookie)
    };
    let good = with(format!("a=b; XSRF-TOKEN={ours}"));
    assert_eq!(server.send(good).await.expect(200), "");
    for cookie in [
        format!("XSRF-TOKEN={hers}"),
        "XSRF-TOKEN=none".to_owned(),
        "a=b".to_owned(),
    ] {
        let answer = server.send(with(cookie)).await;
        assert_eq!(answer.expect(401)["error_code"], "unauthorized_error");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_proxy_hands_over_what_it_was_asked_for() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let directory = "deployments/default_tenant/dep";
    let path = format!("file-server-proxy/{directory}/notes.txt");
    let put = server.request(Method::PUT, &path).body("remember");
    server.send(put).await.expect(200);
    assert_eq!(server.get(&path).await.body, b"remember");
    let direct = server
        .get(&format!("/resources/{directory}/notes.txt"))
        .await;
    assert_eq!(direct.body, b"remember");
    // the header goes before the path
    let original = format!("/resources/{directory}/notes.txt?version=1");
    let through = server.request(Method::GET, "file-server-proxy");
    let through = server
        .send(through.header("X-Original-Uri", original))
        .await;
    assert_eq!(through.body, b"remember");
    let climbing = server.request(Method::GET, "file-server-proxy");
    let climbing = climbing.header("X-Original-Uri", "/resources/../../etc/passwd");
    let climbed = server.send(climbing).await;
    climbed.refused(400, "bad_parameters_error", "");
    server.delete(&path).await.expect(204);
    server
        .get(&path)
        .await
        .refused(404, "not_found_error", "notes.txt");
    server.get("file-server-proxy").await.expect(404);
    // nobody sees more through it
    let user = json!({"username": "vera", "password": "veravera"});
    server.put("users", &user).await.expect(201);
    let foreign = server.anonymous(Method::GET, &format!("file-server-proxy/{directory}/"));
    let refused = server
        .send(foreign.basic_auth("vera", Some("veravera")))
        .await;
    refused.expect(403);
    let nobody = server.anonymous(Method::GET, &path);
    server.send(nobody).await.expect(401);
    server.stop().await;
}
