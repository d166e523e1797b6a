//! `/nodes`
use serde_json::json;

use super::{blueprint, deployment, instances};
use crate::support::server::TestServer;

#[tokio::test]
async fn nodes_count_their_instances() {
    let server = TestServer::start().await;
    // given
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    // when
    instances(&server, "dep", &["db_1", "db_2"]).await;
    // then
    let listed = server
        .get("nodes?deployment_id=dep&id=db")
        .await
        .expect(200);
    let node = &listed["items"][0];
    assert_eq!(node["actual_number_of_instances"], 2);
    assert_eq!(node["unavailable_instances"], 2);
    assert_eq!(node["properties"], json!({"size": 3}));
    assert_eq!(node["blueprint_id"], "bp");
    let evaluated = server
        .get("nodes?id=db&_evaluate_functions=True")
        .await
        .expect(200);
    assert_eq!(evaluated["items"][0]["name"], "db");
    server.stop().await;
}

#[tokio::test]
async fn only_updates_change_nodes() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    instances(&server, "dep", &["db_1"]).await;
    let change = json!({"properties": {"size": 4}});
    server
        .patch("nodes/dep/db", &change)
        .await
        .refused(403, "only_deployment_update", "update");
    server
        .delete("nodes/dep/db")
        .await
        .refused(403, "only_deployment_update", "update");
    server
        .delete("node-instances/db_1")
        .await
        .refused(403, "only_deployment_update", "update");
    let none = json!({"deployment_id": "dep", "nodes": []});
    server.post("nodes", &none).await.expect(204);
    let bad = json!({"deployment_id": "dep", "nodes": [{"id": "x"}]});
    server
        .post("nodes", &bad)
        .await
        .refused(400, "bad_parameters_error", "Missing type");
    let lost = json!({"deployment_id": "no", "nodes": [{"id": "x", "type": "t"}]});
    server
        .post("nodes", &lost)
        .await
        .refused(404, "not_found_error", "Deployment");
    server.stop().await;
}
