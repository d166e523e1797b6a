//! `/maintenance`: what runs ends, nothing else begins, and then only a few things are served.
use reqwest::Method;
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::{Answer, TestServer};

async fn post(server: &TestServer, path: &str) -> Answer {
    server.send(server.request(Method::POST, path)).await
}

async fn bypassing(server: &TestServer, path: &str) -> Answer {
    let request = server.request(Method::GET, path);
    server
        .send(request.header("X-BYPASS-MAINTENANCE", "true"))
        .await
}

#[tokio::test]
async fn an_idle_manager_is_in_maintenance_at_once() {
    let server = TestServer::start().await;
    let off = json!({"status": "deactivated", "activated_at": "", "activation_requested_at": "",
        "requested_by": "", "remaining_executions": null});
    assert_eq!(server.get("maintenance").await.expect(200), off);
    post(&server, "maintenance/deactivate").await.expect(304);
    let before = server.position();
    let on = post(&server, "maintenance/activate").await.expect(200);
    assert_eq!(
        (&on["status"], &on["requested_by"]),
        (&json!("activated"), &json!("admin"))
    );
    assert_eq!(on["remaining_executions"], Value::Null);
    post(&server, "maintenance/activate").await.expect(304);
    for path in ["blueprints", "deployments/x", "user", "secrets/x"] {
        server
            .get(path)
            .await
            .refused(503, "maintenance_mode_active", "maintenance mode");
    }
    server.put("sites/s1", &json!({})).await.refused(
        503,
        "maintenance_mode_active",
        "maintenance mode",
    );
    for path in [
        "maintenance",
        "status",
        "version",
        "config",
        "managers",
        "snapshots",
        "ok",
    ] {
        server.get(path).await.expect(200);
    }
    bypassing(&server, "blueprints").await.expect(200);
    let server = server.restart_with(|_| {}).await;
    server
        .get("blueprints")
        .await
        .refused(503, "maintenance_mode_active", "maintenance mode");
    let then = server
        .get(&format!("maintenance?_as_of={before}"))
        .await
        .expect(200);
    assert_eq!(then, off);
    assert_eq!(
        post(&server, "maintenance/deactivate").await.expect(200),
        off
    );
    server.get("blueprints").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn maintenance_waits_for_what_runs() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let running = json!({"deployment_id": "dep", "workflow_id": "install", "id": "running",
        "force_status": "started"});
    server.post("executions", &running).await.expect(201);
    let asked = post(&server, "maintenance/activate").await.expect(200);
    assert_eq!(asked["status"], "activating");
    assert_eq!(asked["activated_at"], "");
    let waited_for = json!([{"id": "running", "status": "started", "deployment_id": "dep",
        "workflow_id": "install"}]);
    assert_eq!(asked["remaining_executions"], json!([waited_for]));
    assert_eq!(
        server.get("maintenance").await.expect(200)["remaining_executions"],
        waited_for
    );
    post(&server, "maintenance/activate").await.expect(304);
    let another = json!({"deployment_id": "dep", "workflow_id": "install"});
    server.post("executions", &another).await.refused(
        503,
        "entering_maintenance_mode",
        "entering maintenance mode",
    );
    server
        .patch("deployments/dep", &json!({"display_name": "x"}))
        .await
        .refused(
            503,
            "entering_maintenance_mode",
            "entering maintenance mode",
        );
    server.get("blueprints").await.expect(200);
    let ended = json!({"status": "terminated"});
    server.patch("executions/running", &ended).await.expect(200);
    server
        .get("blueprints")
        .await
        .refused(503, "maintenance_mode_active", "maintenance mode");
    let on = server.get("maintenance").await.expect(200);
    assert_eq!(
        (&on["status"], &on["remaining_executions"]),
        (&json!("activated"), &Value::Null)
    );
    post(&server, "maintenance/deactivate").await.expect(200);
    server.get("deployments/dep").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn who_may_not_begin_maintenance_does_not_work_through_it() {
    let server = TestServer::start().await;
    let user = json!({"username": "ann", "password": "annann"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "ann", "role": "manager"});
    server.put("tenants/users", &member).await.expect(200);
    let as_ann = |method: Method, path: &str| {
        server
            .anonymous(method, path)
            .basic_auth("ann", Some("annann"))
            .header("Tenant", "default_tenant")
            .header("X-BYPASS-MAINTENANCE", "true")
    };
    server
        .send(as_ann(Method::POST, "maintenance/activate"))
        .await
        .refused(403, "forbidden_error", "maintenance_mode_set");
    assert_eq!(
        server.get("maintenance").await.expect(200)["status"],
        "deactivated"
    );
    post(&server, "maintenance/activate").await.expect(200);
    server
        .send(as_ann(Method::GET, "blueprints"))
        .await
        .refused(503, "maintenance_mode_active", "maintenance mode");
    server
        .send(as_ann(Method::GET, "maintenance"))
        .await
        .expect(200);
    server.stop().await;
}
