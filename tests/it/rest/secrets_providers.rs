//! `/secrets-providers`: values that a Vault keeps.
use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use warp::{Filter, http::StatusCode};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

/// A Vault that knows one value, and one token.
#[allow(clippy::disallowed_methods, reason = "tests own no task tracker")]
fn vault() -> SocketAddr {
    let answer = warp::path::full()
        .and(warp::header::optional::<String>("x-vault-token"))
        .map(|path: warp::path::FullPath, token: Option<String>| {
            let body = match (token.as_deref(), path.as_str()) {
                (Some("good"), "/v1/auth/token/lookup-self") => json!({"data": {}}),
                (Some("good"), "/v1/kv/data/app/k1") => {
                    json!({"data": {"data": {"k1": "from afar"}, "metadata": {"version": 3}}})
                }
                (Some("good"), _) => Value::Null,
                _ => json!(false),
            };
            let status = match body {
                Value::Null => StatusCode::NOT_FOUND,
                Value::Bool(_) => StatusCode::FORBIDDEN,
                _ => StatusCode::OK,
            };
            warp::reply::with_status(warp::reply::json(&body), status)
        });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(warp::serve(answer).incoming(listener).run());
    at
}

#[tokio::test]
async fn values_are_read_from_a_vault() {
    let server = TestServer::start().await;
    let vault = vault();
    let provider = |token: &str, test: bool| {
        json!({"name": "p1", "type": "vault", "test": test, "connection_parameters":
            {"url": format!("http://{vault}"), "token": token, "path": "kv/data/app"}})
    };
    let path = "secrets-providers";
    server
        .put(path, &provider("bad", true))
        .await
        .refused(400, "bad_parameters_error", "403");
    server.put(path, &provider("good", true)).await.expect(204);
    assert_eq!(server.get(path).await.expect(200)["items"], json!([]));
    let made = server.put(path, &provider("good", false)).await.expect(200);
    assert_eq!(made["connection_parameters"]["path"], "kv/data/app");
    server.put(path, &provider("good", false)).await.refused(
        409,
        "conflict_error",
        "already exists",
    );
    let secret = json!({"value": null, "provider_name": "p1"});
    server.put("secrets/k1", &secret).await.expect(200);
    let held = server.get("secrets/k1").await.expect(200);
    assert_eq!(
        (&held["value"], &held["provider_name"]),
        (&json!("from afar"), &json!("p1"))
    );
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    let ask = json!({"deployment_id": "one", "payload": {"x": {"get_secret": "k1"}}});
    let answer = server.post("evaluate/functions", &ask).await.expect(200);
    assert_eq!(answer["payload"]["x"], "from afar");
    let other = json!({"value": null, "provider_name": "p1", "provider_options": {"path": "none"}});
    server.put("secrets/k2", &other).await.expect(200);
    server
        .get("secrets/k2")
        .await
        .refused(400, "bad_parameters_error", "404");
    server.delete("secrets-providers/p1").await.refused(
        400,
        "illegal_action_error",
        "used by secrets",
    );
    for key in ["k1", "k2"] {
        server.delete(&format!("secrets/{key}")).await.expect(204);
    }
    server.delete("secrets-providers/p1").await.expect(204);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_provider_is_refused() {
    let server = TestServer::start().await;
    let path = "secrets-providers";
    server
        .put(path, &json!({"name": "p1", "type": "drawer"}))
        .await
        .refused(400, "bad_parameters_error", "drawer");
    server
        .put(
            path,
            &json!({"name": "p1", "type": "vault", "connection_parameters": {"url": "x"}}),
        )
        .await
        .refused(400, "bad_parameters_error", "token");
    server
        .put(path, &json!({"name": "p1", "type": "local"}))
        .await
        .expect(200);
    server
        .patch("secrets-providers/p1", &json!({"type": "cloudify"}))
        .await
        .refused(400, "bad_parameters_error", "host");
    server
        .put("secrets/k1", &json!({"value": "v", "provider_name": "p1"}))
        .await
        .expect(200);
    assert_eq!(server.get("secrets/k1").await.expect(200)["value"], "v");
    let user = json!({"username": "ann", "password": "annann"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "ann", "role": "user"});
    server.put("tenants/users", &member).await.expect(200);
    let seen = server
        .anonymous(Method::GET, "secrets-providers/p1")
        .basic_auth("ann", Some("annann"))
        .header("Tenant", "default_tenant");
    let seen = server.send(seen).await.expect(200);
    assert_eq!(seen["connection_parameters"], Value::Null);
    server.stop().await;
}
