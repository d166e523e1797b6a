//! `/agents`
use serde_json::{Value, json};

use super::{blueprint, deployment, instances};
use crate::support::server::TestServer;

async fn given() -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    instances(&server, "dep", &["db_1"]).await;
    server
}

fn agent() -> Value {
    json!({
        "node_instance_id": "db_1", "state": "creating", "create_rabbitmq_user": false,
        "install_method": "remote", "ip": "10.0.0.1", "rabbitmq_username": "rabbitmq_user_a1",
        "rabbitmq_password": "s3cret-of-agent", "rabbitmq_exchange": "a1",
    })
}

#[tokio::test]
async fn an_agent_is_recorded_and_followed() {
    let server = given().await;
    let created = server.put("agents/a1", &agent()).await.expect(200);
    assert_eq!(created["deployment"], "dep");
    let change = json!({"state": "started", "version": "7.0.5"});
    let changed = server.patch("agents/a1", &change).await.expect(200);
    assert_eq!(
        (&changed["state"], &changed["version"], &changed["ip"]),
        (&json!("started"), &json!("7.0.5"), &json!("10.0.0.1"))
    );
    let one = server.get("agents/a1").await.expect(200);
    assert_eq!(one["rabbitmq_password"], "s3cret-of-agent");
    server.stop().await;
}

#[tokio::test]
async fn lists_tell_no_password() {
    let server = given().await;
    server.put("agents/a1", &agent()).await.expect(200);
    let listed = server.get("agents?deployment_id=dep&state=creating").await;
    let item = &listed.expect(200)["items"][0];
    assert_eq!(item["host_id"], "db_1");
    assert!(item.get("rabbitmq_password").is_none(), "{item}");
    let all = server.get("agents?_get_data=true").await.expect(200);
    assert_eq!(all["items"][0]["rabbitmq_password"], Value::Null);
    assert_eq!(all["items"][0]["rabbitmq_username"], "rabbitmq_user_a1");
    let none = server.get("agents?install_methods=plugin").await;
    assert_eq!(none.expect(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn an_agent_is_recorded_once_and_on_an_instance() {
    let server = given().await;
    server.put("agents/a1", &agent()).await.expect(200);
    let again = server.put("agents/a1", &agent()).await.expect(200);
    assert_eq!(again["state"], Value::Null, "{again}");
    let mut bad = agent();
    bad["state"] = json!("asleep");
    server
        .put("agents/a2", &bad)
        .await
        .refused(400, "bad_parameters_error", "asleep");
    let mut homeless = agent();
    homeless["node_instance_id"] = json!("nowhere");
    server
        .put("agents/a2", &homeless)
        .await
        .refused(404, "not_found_error", "nowhere");
    server.stop().await;
}

#[tokio::test]
async fn other_certificates_must_be_some() {
    let server = given().await;
    let authority = rcgen::generate_simple_self_signed(vec!["m2".to_owned()]).unwrap();
    for bad in [
        json!({"bundle": true}),
        json!({"bundle": true, "manager_ca_cert": "none"}),
        json!({"manager_ca_cert": authority.cert.pem()}),
    ] {
        server
            .patch("agents", &bad)
            .await
            .refused(400, "bad_parameters_error", "");
    }
    let good = json!({"bundle": true, "manager_ca_cert": authority.cert.pem(),
        "broker_ca_cert": null});
    let told = server.patch("agents", &good).await.expect(200);
    assert_eq!(
        told,
        json!({"number_of_updated_agents": 0}),
        "there is no broker"
    );
    server.stop().await;
}
