//! `/deployments`
use serde_json::{Value, json};

use super::{blueprint, deployment, instances};
use crate::support::server::TestServer;

#[tokio::test]
async fn a_restored_deployment_reads_back() {
    let server = TestServer::start().await;
    // given
    blueprint(&server, "bp").await;
    // when
    let created = deployment(&server, "bp", "dep").await;
    // then
    assert_eq!(created["display_name"], "dep");
    assert_eq!(created["deployment_status"], "requires_attention");
    assert_eq!(created["labels"][0]["key"], "env");
    assert_eq!(created["workflows"][0]["name"], Value::Null);
    let one = server
        .get("deployments/dep?all_sub_deployments=True")
        .await
        .expect(200);
    assert_eq!(one["workflows"][0]["name"], "install");
    assert_eq!(one["workflows"][0]["is_available"], true);
    assert_eq!(one["workdir_zip"], Value::Null);
    let listed = server
        .get("deployments?_sort=-created_at")
        .await
        .expect(200);
    assert_eq!(listed["items"][0], created);
    assert_eq!(listed["metadata"]["pagination"]["total"], 1);
    let few = server
        .get("deployments?_include=id,drifted_instances")
        .await
        .expect(200);
    assert_eq!(
        few["items"][0],
        json!({"id": "dep", "drifted_instances": 0})
    );
    server.stop().await;
}

#[tokio::test]
async fn inputs_are_checked_before_anything_is_created() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    let before = server.get("deployments").await.position();
    for (id, body, status, code, words) in [
        (
            "d",
            json!({"blueprint_id": "bp"}),
            400,
            "missing_required_deployment_input_error",
            "port",
        ),
        (
            "d",
            json!({"blueprint_id": "bp", "inputs": {"port": 1, "no": 2}}),
            400,
            "unknown_deployment_input_error",
            "unknown inputs: no",
        ),
        (
            "d",
            json!({"blueprint_id": "none"}),
            404,
            "not_found_error",
            "Blueprint",
        ),
        (
            "d",
            json!({}),
            400,
            "bad_parameters_error",
            "Missing blueprint_id",
        ),
        (
            "d e",
            json!({"blueprint_id": "bp"}),
            400,
            "bad_parameters_error",
            "illegal",
        ),
        (
            "d",
            json!({"blueprint_id": "bp", "inputs": {"port": 1}, "visibility": "global"}),
            403,
            "forbidden_error",
            "global",
        ),
    ] {
        let path = format!("deployments/{}", id.replace(' ', "%20"));
        server.put(&path, &body).await.refused(status, code, words);
    }
    assert_eq!(server.get("deployments").await.position(), before);
    server.stop().await;
}

#[tokio::test]
async fn instances_show_in_their_deployment() {
    let server = TestServer::start().await;
    // given
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let before = server.get("deployments/dep").await.position();
    instances(&server, "dep", &["db_1", "db_2"]).await;
    // when
    let checked = json!({"version": 1, "runtime_properties": {"token": "t1"},
        "system_properties": {"status": {"ok": true}}});
    server
        .patch("node-instances/db_1", &checked)
        .await
        .expect(200);
    // then
    let now = server.get("deployments/dep").await.expect(200);
    assert_eq!(now["unavailable_instances"], 1);
    assert_eq!(
        now["workflows"][0]["is_available"], false,
        "everything is started"
    );
    let then = server
        .get(&format!("deployments/dep?_as_of={before}"))
        .await
        .expect(200);
    assert_eq!(then["unavailable_instances"], 0);
    assert_eq!(then["workflows"][0]["is_available"], true);
    server
        .delete("deployments/dep")
        .await
        .refused(400, "dependent_exists_error", "live nodes");
    server.stop().await;
}

#[tokio::test]
async fn what_a_deployment_offers_is_evaluated() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    instances(&server, "dep", &["db_1"]).await;
    let before = server.get("deployments/dep").await.position();
    let token = json!({"version": 1, "runtime_properties": {"token": "t1"}});
    server
        .patch("node-instances/db_1", &token)
        .await
        .expect(200);
    let outputs = server.get("deployments/dep/outputs").await.expect(200);
    assert_eq!(
        outputs,
        json!({"deployment_id": "dep", "outputs": {"port": 1, "token": "t1"}})
    );
    let path = format!("deployments/dep/outputs?_as_of={before}");
    let earlier = server.get(&path).await.expect(200);
    assert_eq!(earlier["outputs"]["token"], Value::Null);
    let capabilities = server.get("deployments/dep/capabilities").await.expect(200);
    assert_eq!(capabilities["capabilities"], json!({"plain": "c"}));
    let body = json!({"deployment_id": "dep", "context": {"self": "db_1"},
        "payload": {"a": {"get_attribute": ["SELF", "token"]}, "b": {"concat": ["x", "y"]},
                    "c": {"get_capability": ["dep", "plain"]}}});
    let evaluated = server.post("evaluate/functions", &body).await.expect(200);
    assert_eq!(
        evaluated["payload"],
        json!({"a": "t1", "b": "xy", "c": "c"})
    );
    let bad = json!({"deployment_id": "dep", "payload": {"a": {"get_capability": ["no", "x"]}}});
    server
        .post("evaluate/functions", &bad)
        .await
        .refused(400, "functions_evaluation_error", "no");
    server.stop().await;
}

#[tokio::test]
async fn attributes_are_set_once() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let patch = async |body: Value| server.patch("deployments/dep", &body).await;
    let named = patch(json!({"display_name": "New name"})).await.expect(200);
    assert_eq!(named["display_name"], "New name");
    patch(json!({"outputs": {}}))
        .await
        .refused(409, "conflict_error", "outputs is already set");
    patch(json!({"blueprint_id": "bp"}))
        .await
        .refused(403, "only_deployment_update", "update");
    patch(json!({}))
        .await
        .refused(400, "illegal_action_error", "at least one");
    patch(json!({"labels": [{"csys-obj-parent": "no"}]}))
        .await
        .refused(404, "deployment_parent_not_found_error", "no");
    let labelled = patch(json!({"labels": [{"env": "prod"}, {"x": ["y", "z"]}]}))
        .await
        .expect(200);
    assert_eq!(labelled["labels"].as_array().unwrap().len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn summaries_count() {
    let server = TestServer::start().await;
    blueprint(&server, "b1").await;
    blueprint(&server, "b2").await;
    for (blueprint, id) in [("b1", "d1"), ("b1", "d2"), ("b2", "d3")] {
        deployment(&server, blueprint, id).await;
    }
    let path = "summary/deployments?_target_field=blueprint_id&_sub_field=tenant_name";
    let summary = server.get(path).await.expect(200);
    assert_eq!(
        summary["items"],
        json!([
            {"blueprint_id": "b1", "deployments": 2,
             "by tenant_name": [{"tenant_name": "default_tenant", "deployments": 2}]},
            {"blueprint_id": "b2", "deployments": 1,
             "by tenant_name": [{"tenant_name": "default_tenant", "deployments": 1}]},
        ])
    );
    assert_eq!(summary["metadata"]["pagination"]["total"], 2);
    server
        .get("summary/deployments?_target_field=id")
        .await
        .refused(400, "bad_parameters_error", "_target_field");
    let workflows = server.get("workflows?id=d1").await.expect(200);
    assert_eq!(workflows["items"][0]["name"], "install");
    server.stop().await;
}

#[tokio::test]
async fn labels_in_use_are_listed() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    deployment(&server, "bp", "two").await;
    let labels = json!({"labels": [{"env": "test"}, {"colour": "Red"}]});
    server.patch("deployments/two", &labels).await.expect(200);
    let items = async |path: &str| server.get(path).await.expect(200)["items"].clone();
    assert_eq!(items("labels/deployments").await, json!(["colour", "env"]));
    assert_eq!(
        items("labels/deployments/env").await,
        json!(["prod", "test"])
    );
    assert_eq!(
        items("labels/deployments/ENV?_search=PRO").await,
        json!(["prod"])
    );
    assert_eq!(items("labels/deployments/nothing").await, json!([]));
    assert_eq!(items("labels/blueprints").await, json!([]));
    let page = server
        .get("labels/deployments?_size=1&_offset=1")
        .await
        .expect(200);
    assert_eq!(page["items"], json!(["env"]));
    assert_eq!(page["metadata"]["pagination"]["total"], 2);
    let reserved = items("labels/deployments?_reserved=true").await;
    assert!(
        reserved
            .as_array()
            .unwrap()
            .contains(&json!("csys-obj-parent"))
    );
    server
        .get("labels/nonsense")
        .await
        .refused(404, "not_found_error", "nonsense");
    server.stop().await;
}
