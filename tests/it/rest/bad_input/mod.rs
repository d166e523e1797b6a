//! What is sent wrongly is refused with the right status and code, changes nothing, and never costs
//! more than the request: no answer is the server's fault, and no task panics.
mod access;
mod archives;
mod bodies;
mod executions;
mod queries;
mod row;

use std::sync::{Mutex, PoisonError};

use reqwest::Method;
use serde_json::json;

use self::row::Row;
use super::{archive, blueprint, deployment, instances};
use crate::support::server::TestServer;

/// Largest JSON body of this server.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Largest upload of this server.
const UPLOAD_BYTES_MAX: u64 = 256 * 1024;

/// What panicked, anywhere in the process.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn panics() -> Vec<String> {
    PANICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn note_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push(panic.to_string());
        drop(panics);
        before(panic);
    }));
}

/// A server with one of everything that rows speak of.
async fn given() -> TestServer {
    let server = TestServer::start_with(|settings| {
        settings.body_bytes_max = BODY_BYTES_MAX;
        settings.upload_bytes_max = UPLOAD_BYTES_MAX;
    })
    .await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    instances(&server, "dep", &["db_1"]).await;
    let changed = json!({"version": 1, "runtime_properties": {"a": 1}});
    let changed = server.patch("node-instances/db_1", &changed).await;
    assert_eq!(changed.expect(200)["version"], 2);
    let ended = json!({"deployment_id": "dep", "workflow_id": "install", "id": "ended",
        "force_status": "terminated"});
    server.post("executions", &ended).await.expect(201);
    for name in ["viewer", "stranger", "forgetful"] {
        let user = json!({"username": name, "password": "password"});
        server.put("users", &user).await.expect(201);
        let request = server.anonymous(Method::GET, "user");
        let request = request.basic_auth(name, Some("password"));
        server.send(request).await.expect(200);
    }
    let member = json!({"tenant_name": "default_tenant", "username": "viewer", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
    server
}

/// Sends every row; collects what is wrong, so that one run tells it all.
async fn check(server: &TestServer, rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for row in rows {
        let before = server.position();
        if let Err(reason) = row.check(server).await {
            wrong.push(reason);
        } else if server.position() != before && changes(server, &row).await {
            wrong.push(format!("{} changes something", row.name()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Whether a row changes something. A login is noted once a minute, so it is given a second try.
async fn changes(server: &TestServer, row: &Row) -> bool {
    for _ in 0..2 {
        let before = server.position();
        let repeated = row.check(server).await;
        if repeated.is_ok() && server.position() == before {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn bad_input_is_refused_and_changes_nothing() {
    note_panics();
    let server = given().await;
    let tables = [
        bodies::broken(),
        bodies::of_blueprints(),
        bodies::of_deployments(),
        bodies::of_nodes(),
        bodies::of_accounts(),
        bodies::of_the_rest(),
        executions::rows(),
        executions::of_events_and_operations(),
        queries::rows(),
        queries::of_moments(),
        queries::of_unknown_things(),
        queries::of_wrong_methods(),
        access::rows(),
        archives::rows(),
    ];
    let rows: Vec<Row> = tables.into_iter().flatten().collect();
    assert!(rows.len() >= 60, "only {} rows", rows.len());
    check(&server, rows).await;
    access::a_wrong_password_only_counts(&server).await;
    access::paths_do_not_leave_their_root(&server).await;
    assert_eq!(panics(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test]
async fn a_hostile_archive_is_no_blueprint() {
    note_panics();
    let server = given().await;
    for (i, (what, bytes)) in archives::hostile().into_iter().enumerate() {
        let id = format!("hostile{i}");
        let path = format!("blueprints/{id}?visibility=tenant");
        let put = server.request(Method::PUT, &path).body(bytes);
        let answer = server.send(put).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let code = &answer.json()["error_code"];
        assert!(
            code == "invalid_blueprint_error" || code == "bad_parameters_error",
            "{what}: {code}"
        );
        let stored = server.get(&format!("blueprints/{id}")).await;
        if stored.status == 200 {
            let state = stored.json()["state"].to_string();
            assert!(state.contains("failed"), "{what}: {state}");
        }
        let files = format!("/resources/blueprints/default_tenant/{id}/");
        assert_eq!(server.get(&files).await.status, 404, "{what}");
    }
    assert_eq!(panics(), Vec::<String>::new());
    server.stop().await;
}
