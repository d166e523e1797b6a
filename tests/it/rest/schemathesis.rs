//! `/openapi.json` against the server: requests made up of what the document says, well and badly,
//! get answers that the document names, and never a failure of the server's.
use std::process::Command;

use serde_json::json;

use crate::support::{
    env,
    server::{PASSWORD, TestServer},
};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rest/schemathesis");
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance";
/// Requests of either kind for an operation, unless `STRATALOG_TEST_SCHEMATHESIS_EXAMPLES` says
/// how many.
const EXAMPLES: &str = "10";

/// One of everything, named `known`.
async fn world(server: &TestServer) {
    super::blueprint(server, "known").await;
    super::deployment(server, "known", "known").await;
    super::instances(server, "known", &["known"]).await;
    let started = json!({"deployment_id": "known", "workflow_id": "install", "id": "known",
        "force_status": "terminated", "created_at": "2026-01-01T00:00:00.000Z"});
    server.post("executions", &started).await.expect(201);
    server.post("tenants/known", &json!({})).await.expect(201);
    let user = json!({"username": "known", "password": "known-password", "role": "default"});
    server.put("users", &user).await.expect(201);
    let group = json!({"group_name": "known"});
    server.post("user-groups", &group).await.expect(201);
    for (path, body) in [
        ("secrets/known", json!({"value": "x"})),
        ("sites/known", json!({"location": "1,2"})),
        (
            "deployment-groups/known",
            json!({"deployment_ids": ["known"]}),
        ),
        ("filters/blueprints/known", json!({"filter_rules": []})),
        ("filters/deployments/known", json!({"filter_rules": []})),
    ] {
        server.put(path, &body).await.expect(200);
    }
    let schedule = json!({"workflow_id": "install", "since": "2030-01-01 00:00:00",
        "recurrence": "1 days"});
    let path = "execution-schedules/known?deployment_id=known";
    server.put(path, &schedule).await.expect(201);
    let graph = json!({"name": "known", "execution_id": "known"});
    server.post("tasks_graphs/known", &graph).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_get_the_answers_that_are_documented() {
    // nothing but requests: what they start waits
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    world(&server).await;
    let examples = std::env::var("STRATALOG_TEST_SCHEMATHESIS_EXAMPLES");
    let url = format!("http://{}", server.running.addr);
    let place = tempfile::tempdir().unwrap();
    let mut run = Command::new(env::python());
    run.current_dir(place.path())
        .env("PYTHONPATH", DATA)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "schemathesis.cli"])
        .arg(format!("--config-file={DATA}/schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json")])
        .args(["--url", &url, "--auth", &format!("admin:{PASSWORD}")])
        .args(["--checks", CHECKS, "--phases", "fuzzing", "--seed", "1"])
        .args(["--max-examples", examples.as_deref().unwrap_or(EXAMPLES)]);
    let output = tokio::task::spawn_blocking(move || run.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{trouble}");
    server.stop().await;
}
