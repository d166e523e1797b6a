//! `/log-bundles`: made, read, kept and deleted.
use std::io::{Cursor, Read as _};

use reqwest::Method;
use serde_json::{Value, json};
use stratalog::commands::execution_end;

use super::{blueprint, deployment};
use crate::support::server::{PASSWORD, TestServer};

/// Makes a bundle, and waits until it is there.
async fn made(server: &TestServer, id: &str) -> Value {
    let path = format!("log-bundles/{id}");
    let execution = server
        .put(&path, &json!({"queue": false}))
        .await
        .expect(201);
    assert_eq!(execution["workflow_id"], "create_log_bundle");
    assert_eq!(execution["is_system_workflow"], true);
    let of = ("default_tenant", execution["id"].as_str().unwrap());
    let end = execution_end(&server.running.ctx, of, 0).await.unwrap();
    assert_eq!(end.unwrap().status, "terminated");
    server.get(&path).await.expect(200)
}

#[tokio::test]
async fn a_bundle_tells_how_the_manager_is_and_no_secrets() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let running = json!({"deployment_id": "dep", "workflow_id": "install", "id": "running",
        "force_status": "started", "parameters": {"word": "s3cret-parameter"},
        "allow_custom_parameters": true});
    server.post("executions", &running).await.expect(201);
    let bundle = made(&server, "b1").await;
    assert_eq!(
        (&bundle["status"], &bundle["error"], &bundle["visibility"]),
        (&json!("created"), &json!(""), &json!("private"))
    );
    let answer = server.get("log-bundles/b1/archive").await;
    assert!(
        answer.headers["content-disposition"]
            .to_str()
            .unwrap()
            .contains("b1.zip")
    );
    let mut zip = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
    let mut whole = String::new();
    for index in 0..zip.len() {
        zip.by_index(index)
            .unwrap()
            .read_to_string(&mut whole)
            .unwrap();
    }
    for told in [
        "manager.json",
        "\"database\": \"up\"",
        "database_readers",
        "\"running\"",
    ] {
        assert!(whole.contains(told), "{told}: {whole}");
    }
    let database = &server.running.ctx.settings.database_url.0;
    for secret in [PASSWORD, database, "s3cret-parameter"] {
        assert!(!whole.contains(secret), "{secret}: {whole}");
    }
    server.stop().await;
}

#[tokio::test]
async fn bundles_come_and_go() {
    let server = TestServer::start().await;
    made(&server, "b1").await;
    server
        .put("log-bundles/b1", &json!({}))
        .await
        .refused(409, "conflict_error", "b1");
    server.put("log-bundles/1%20b", &json!({})).await.refused(
        400,
        "bad_parameters_error",
        "log_bundle_id",
    );
    let listed = server.get("log-bundles?status=created").await.expect(200);
    assert_eq!(listed["metadata"]["pagination"]["total"], 1);
    let kept = server.request(Method::PUT, "log-bundles/b1/archive");
    let kept = server.send(kept.body("made elsewhere")).await;
    assert_eq!(kept.expect(201), Value::Null);
    let answer = server.get("log-bundles/b1/archive").await;
    assert_eq!(answer.body, b"made elsewhere");
    let failed = json!({"status": "failed", "error": "no room"});
    let noted = server.patch("log-bundles/b1", &failed).await.expect(200);
    assert_eq!(noted, Value::Null);
    server
        .get("log-bundles/b1/archive")
        .await
        .refused(400, "log_bundle_action_error", "b1");
    server
        .patch("log-bundles/b1", &json!({"status": "lost"}))
        .await
        .refused(400, "bad_parameters_error", "lost");
    let position = server.position();
    let gone = server.delete("log-bundles/b1").await.expect(200);
    assert_eq!(gone["error"], "no room");
    for path in ["log-bundles/b1", "log-bundles/b1/archive"] {
        server.get(path).await.refused(404, "not_found_error", "b1");
    }
    let absent = server.request(Method::PUT, "log-bundles/b1/archive");
    let absent = server.send(absent.body("for nobody")).await;
    absent.refused(404, "not_found_error", "b1");
    let then = format!("log-bundles/b1?_as_of={position}");
    assert_eq!(server.get(&then).await.expect(200)["status"], "failed");
    server.stop().await;
}

#[tokio::test]
async fn bundles_are_for_administrators() {
    let server = TestServer::start().await;
    made(&server, "b1").await;
    let user = json!({"username": "uma", "password": "umauma"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "uma", "role": "manager"});
    server.put("tenants/users", &member).await.expect(200);
    for (method, path) in [
        (Method::GET, "log-bundles"),
        (Method::GET, "log-bundles/b1"),
        (Method::GET, "log-bundles/b1/archive"),
        (Method::PUT, "log-bundles/b2"),
        (Method::PUT, "log-bundles/b1/archive"),
        (Method::DELETE, "log-bundles/b1"),
    ] {
        let request = server
            .anonymous(method, path)
            .header("Tenant", "default_tenant");
        let request = request.basic_auth("uma", Some("umauma")).body("{}");
        let refused = server.send(request).await;
        refused.refused(403, "forbidden_error", "log_bundle_");
    }
    server.stop().await;
}
