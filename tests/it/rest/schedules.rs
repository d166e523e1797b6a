//! `/execution-schedules`, and what becomes due.
use std::time::Duration;

use serde_json::{Value, json};
use stratalog::clock;

use super::{blueprint, instances};
use crate::support::server::TestServer;

const NO_ARCHIVE: &str = "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==";
const AT: &str = "execution-schedules/nightly?deployment_id=dep";

/// A deployment whose workflow `install` ends well at once, and `broken` does not.
pub(super) async fn runnable(server: &TestServer, id: &str) {
    let workflow = |operation: &str| {
        json!({"plugin": "default_workflows", "operation": operation,
            "parameters": {"flavour": {"default": "plain"}}})
    };
    let body = json!({
        "blueprint_id": "bp", "workdir_zip": NO_ARCHIVE, "inputs": {"port": 1},
        "workflows": {
            "install": workflow("cloudify.plugins.workflows.install"),
            "broken": workflow("nowhere.to_be_found"),
        },
    });
    let path = format!("deployments/{id}");
    server.put(&path, &body).await.expect(201);
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    runnable(&server, "dep").await;
    server
}

/// Asks until the answer is as expected: everything waited for is an event, and the log is polled.
pub(super) async fn until(
    server: &TestServer,
    path: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let mut subscription = server.running.ctx.store.subscribe(0);
    loop {
        let body = server.get(path).await.expect(200);
        if holds(&body) {
            return body;
        }
        let next = tokio::time::timeout_at(deadline, subscription.next()).await;
        next.unwrap_or_else(|_| panic!("{path} stays {body}"))
            .unwrap();
    }
}

#[tokio::test]
async fn a_schedule_is_kept_and_changed() {
    let server = server().await;
    let new = json!({
        "workflow_id": "install", "since": "2090-01-01 00:00:00", "recurrence": "1 day",
        "count": 2, "parameters": {"flavour": "dark"}, "slip": 5,
        "execution_arguments": {"dry_run": true},
    });
    let created = server.put(AT, &new).await.expect(201);
    assert_eq!(
        created["rule"],
        json!({"recurrence": "1 day", "count": 2, "weekdays": null})
    );
    assert_eq!(created["next_occurrence"], "2090-01-01T00:00:00.000Z");
    assert_eq!(
        created["all_next_occurrences"],
        json!(["2090-01-01 00:00:00", "2090-01-02 00:00:00"])
    );
    assert_eq!(created["execution_arguments"], json!({"is_dry_run": true}));
    assert_eq!(created["latest_execution_status"], Value::Null);
    assert_eq!(server.get(AT).await.expect(200), created);
    server
        .put(AT, &new)
        .await
        .refused(409, "conflict_error", "already exists");
    let position = server.position();
    let change = json!({"rrule": "FREQ=WEEKLY", "until": "2090-01-10", "enabled": false});
    let changed = server.patch(AT, &change).await.expect(201);
    assert_eq!(changed["rule"], json!({"rrule": "FREQ=WEEKLY"}));
    assert_eq!(changed["all_next_occurrences"].as_array().unwrap().len(), 2);
    assert_eq!(changed["enabled"], false);
    let before = server.get(&format!("{AT}&_as_of={position}")).await;
    assert_eq!(before.expect(200), created);
    let listed = server.get("execution-schedules?workflow_id=install").await;
    assert_eq!(listed.expect(200)["items"], json!([changed]));
    let summary = server
        .get("summary/execution_schedules?_target_field=deployment_id")
        .await;
    assert_eq!(summary.expect(200)["items"][0]["execution_schedules"], 1);
    server.delete(AT).await.expect(204);
    server
        .get(AT)
        .await
        .refused(404, "not_found_error", "nightly");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_schedule_is_refused_and_changes_nothing() {
    let server = server().await;
    let position = server.position();
    let good = json!({"workflow_id": "install", "since": "2090-01-01", "count": 1});
    for (name, value) in [
        ("workflow_id", json!("nosuch")),
        ("workflow_id", json!(5)),
        ("since", json!("soon")),
        ("since", Value::Null),
        ("until", json!("2089-01-01")),
        ("count", json!(0)),
        ("count", json!(2)),
        ("recurrence", json!("often")),
        ("weekdays", json!({})),
        ("rrule", json!("FREQ=DAILY")),
        ("rrule", json!("FREQ=NEVER")),
        ("slip", json!(-1)),
        ("enabled", json!("perhaps")),
        ("execution_arguments", json!({"loud": true})),
        ("execution_arguments", json!({"wait_after_fail": "long"})),
        ("parameters", json!([1])),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        let answer = server.put(AT, &bad).await;
        assert_eq!(answer.status.as_u16(), 400, "{bad}: {:?}", answer.json());
    }
    let nowhere = "execution-schedules/nightly?deployment_id=nosuch";
    server
        .put(nowhere, &good)
        .await
        .refused(404, "not_found_error", "nosuch");
    for path in [
        "execution-schedules/nightly",
        "execution-schedules/9x?deployment_id=dep",
    ] {
        let answer = server.put(path, &good).await;
        answer.refused(400, "bad_parameters_error", "");
    }
    let unknown = server.patch(AT, &json!({"slip": 3})).await;
    unknown.refused(404, "not_found_error", "nightly");
    assert_eq!(server.position(), position);
    server.stop().await;
}

#[tokio::test]
async fn an_occurrence_is_started_once() {
    let server = server().await;
    let since = clock::now() + chrono::Duration::milliseconds(1_500);
    let new = json!({
        "workflow_id": "install", "count": 1, "parameters": {"flavour": "dark"},
        "since": since.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    });
    server.put(AT, &new).await.expect(201);
    let is_over = |body: &Value| body["latest_execution_status"] == "terminated";
    let schedule = until(&server, AT, is_over).await;
    assert_eq!(schedule["next_occurrence"], Value::Null);
    assert_eq!(schedule["all_next_occurrences"], json!([]));
    let executions = server.get("executions?deployment_id=dep").await.expect(200);
    assert_eq!(executions["metadata"]["pagination"]["total"], 1);
    let started = &executions["items"][0];
    assert_eq!(started["parameters"], json!({"flavour": "dark"}));
    assert_eq!(started["created_by"], "admin");
    server.stop().await;
}

#[tokio::test]
async fn a_failure_stops_a_schedule_that_says_so() {
    let server = server().await;
    let since = clock::now() - chrono::Duration::days(400);
    let new = json!({
        "workflow_id": "broken", "recurrence": "1 second", "stop_on_fail": true,
        "since": since.format("%Y-%m-%d %H:%M:%S%.3f").to_string(),
    });
    server.put(AT, &new).await.expect(201);
    let stopped = until(&server, AT, |body| body["enabled"] == false).await;
    assert_eq!(stopped["latest_execution_status"], "failed");
    let executions = server.get("executions?deployment_id=dep").await.expect(200);
    assert_eq!(executions["metadata"]["pagination"]["total"], 1);
    server.stop().await;
}

#[tokio::test]
async fn an_execution_may_be_scheduled() {
    let server = server().await;
    instances(&server, "dep", &["db_1"]).await;
    let mut body = json!({
        "deployment_id": "dep", "workflow_id": "install", "parameters": {},
        "scheduled_time": "2099-01-01T00:00+0000", "queue": "false", "error": null,
    });
    let answer = server.post("executions", &body).await.expect(201);
    assert_eq!(
        (&answer["status"], &answer["id"]),
        (&json!("scheduled"), &Value::Null)
    );
    let listed = server.get("execution-schedules").await.expect(200);
    let schedule = &listed["items"][0];
    assert_eq!(schedule["rule"], json!({"count": 1}));
    assert_eq!(schedule["next_occurrence"], "2099-01-01T00:00:00.000Z");
    assert_eq!(
        schedule["execution_arguments"],
        json!({"allow_custom_parameters": false, "force": false, "is_dry_run": false,
            "wait_after_fail": 600})
    );
    for time in ["2099-01-01T00:00", "2001-01-01T00:00+0000", "soon"] {
        body["scheduled_time"] = json!(time);
        let answer = server.post("executions", &body).await;
        answer.refused(400, "bad_parameters_error", time);
    }
    server.stop().await;
}
