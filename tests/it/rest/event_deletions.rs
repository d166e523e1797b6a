//! `DELETE /events`: logs and events that are not shown any more, and are still there.
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

/// Two deployments, each with an execution that has told of two events and a log.
async fn given() -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for id in ["one", "two"] {
        deployment(&server, "bp", id).await;
        let run = json!({"deployment_id": id, "workflow_id": "install", "id": format!("of-{id}"),
            "force_status": "terminated"});
        server.post("executions", &run).await.expect(201);
        told(&server, id, &["begins", "ends"]).await;
    }
    server
}

async fn told(server: &TestServer, id: &str, texts: &[&str]) {
    let message = |text: &str| json!({"message": {"text": text}, "context": {}});
    let events: Vec<Value> = texts
        .iter()
        .map(|text| {
            let mut event = message(text);
            event["event_type"] = json!("workflow_event");
            event
        })
        .collect();
    let mut log = message("careful");
    log["logger"] = json!("shop");
    log["level"] = json!("warning");
    let body = json!({"execution_id": format!("of-{id}"), "events": events, "logs": [log]});
    server.post("events", &body).await.expect(201);
}

/// The texts of a list, which counts as many.
async fn texts(server: &TestServer, query: &str) -> Vec<String> {
    let page = server.get(&format!("events?{query}")).await.expect(200);
    let items = page["items"].as_array().unwrap();
    assert_eq!(page["metadata"]["pagination"]["total"], items.len());
    let text = |item: &Value| item["message"].as_str().unwrap().to_owned();
    items.iter().map(text).collect()
}

async fn deleted(server: &TestServer, query: &str) -> Value {
    let answer = server.delete(&format!("events?{query}")).await.expect(200);
    assert_eq!(
        answer["metadata"]["pagination"]["total"],
        answer["items"][0]
    );
    answer["items"][0].clone()
}

#[tokio::test]
async fn what_is_deleted_is_not_shown_any_more_as_of_now() {
    let server = given().await;
    let before = server.position();
    let of_one = "deployment_id=one";
    assert_eq!(texts(&server, of_one).await.len(), 3);
    let events = format!("{of_one}&type=cloudify_event&store_before=true");
    assert_eq!(deleted(&server, &events).await, 2);
    assert_eq!(texts(&server, of_one).await, ["careful"]);
    assert_eq!(texts(&server, "execution_id=of-one").await, ["careful"]);
    assert_eq!(texts(&server, "deployment_id=two").await.len(), 3);
    assert_eq!(texts(&server, "_sort=-timestamp").await.len(), 4);
    let last = server.get("events?_size=1&_offset=3").await.expect(200);
    assert_eq!(last["metadata"]["pagination"]["total"], 4);
    assert_eq!(last["items"].as_array().unwrap().len(), 1, "{last}");
    let beyond = server.get("events?_size=1&_offset=4").await.expect(200);
    assert_eq!(beyond["items"], json!([]));
    assert_eq!(deleted(&server, &events).await, 0);
    // what comes later is shown
    told(&server, "one", &["again"]).await;
    assert_eq!(
        texts(&server, of_one).await,
        ["careful", "again", "careful"]
    );
    let all = format!("{of_one}&type=cloudify_event&type=cloudify_log");
    assert_eq!(deleted(&server, &all).await, 3);
    assert!(texts(&server, of_one).await.is_empty());
    let then = format!("{of_one}&_as_of={before}");
    assert_eq!(texts(&server, &then).await, ["begins", "ends", "careful"]);
    let server = server.restart_with(|_| {}).await;
    assert!(texts(&server, of_one).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_range_and_a_text_narrow_what_is_deleted() {
    let server = given().await;
    let of_one = "deployment_id=one&type=cloudify_event";
    assert_eq!(
        deleted(&server, &format!("{of_one}&message.text=%25nd%25")).await,
        1
    );
    assert_eq!(texts(&server, of_one).await, ["begins"]);
    let past = format!("{of_one}&_range=timestamp,,2001-01-01T00:00:00Z");
    assert_eq!(deleted(&server, &past).await, 0);
    let since = format!("{of_one}&_range=timestamp,2001-01-01T00:00:00Z,");
    assert_eq!(deleted(&server, &since).await, 1);
    assert!(texts(&server, of_one).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn who_says_too_little_or_may_not_deletes_nothing() {
    let server = given().await;
    let viewer = json!({"username": "vera", "password": "veravera"});
    server.put("users", &viewer).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "vera", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
    let path = "events?deployment_id=one&type=cloudify_event";
    let as_vera = server.anonymous(reqwest::Method::DELETE, path);
    let as_vera = as_vera.basic_auth("vera", Some("veravera"));
    let refused = server
        .send(as_vera.header("Tenant", "default_tenant"))
        .await;
    refused.refused(403, "forbidden_error", "event_delete");
    for query in [
        "type=cloudify_event",
        "deployment_id=one",
        "deployment_id=one&type=cloudify_log",
    ] {
        let refused = server.delete(&format!("events?{query}")).await;
        refused.refused(400, "bad_parameters_error", "");
    }
    let unknown = format!("{path}&colour=red", path = path);
    server
        .delete(&unknown)
        .await
        .refused(400, "bad_parameters_error", "colour");
    assert_eq!(texts(&server, "deployment_id=one").await.len(), 3);
    server.stop().await;
}
