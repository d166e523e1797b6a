//! `/deployment-groups` and `/execution-groups`.
use serde_json::{Value, json};

use super::{
    blueprint,
    schedules::{runnable, until},
};
use crate::support::server::TestServer;

const GROUP: &str = "deployment-groups/g1";

fn has_ended(body: &Value) -> bool {
    matches!(body["status"].as_str(), Some("terminated" | "failed"))
}

async fn server(deployments: &[&str]) -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for id in deployments {
        runnable(&server, id).await;
    }
    server
}

async fn start(server: &TestServer, body: &Value) -> String {
    let started = server.post("execution-groups", body).await.expect(200);
    started["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn deployments_join_and_leave() {
    let server = server(&["one", "two", "three"]).await;
    let new = json!({"description": "demo", "blueprint_id": "bp", "deployment_ids": ["one"]});
    let created = server.put(GROUP, &new).await.expect(200);
    assert_eq!(created["deployment_ids"], json!(["one"]));
    assert_eq!(created["default_blueprint_id"], "bp");
    assert_eq!(created["creation_counter"], 0);
    let position = server.position();
    let two = json!({"key": "id", "values": ["two"], "operator": "any_of", "type": "attribute"});
    let add = json!({"add": {"deployment_ids": ["three"], "filter_rules": [two]}});
    let extended = server.patch(GROUP, &add).await.expect(200);
    assert_eq!(extended["deployment_ids"].as_array().unwrap().len(), 3);
    let remove = json!({"remove": {"deployment_ids": ["one"]}});
    let shrunk = server.patch(GROUP, &remove).await.expect(200);
    assert_eq!(shrunk["deployment_ids"].as_array().unwrap().len(), 2);
    let listed = server
        .get("deployments?_group_id=g1&_sort=id")
        .await
        .expect(200);
    assert_eq!(listed["items"][0]["id"], "three");
    assert_eq!(listed["items"][0]["deployment_groups"], json!(["g1"]));
    assert_eq!(listed["metadata"]["pagination"]["total"], 2);
    let before = server.get(&format!("{GROUP}?_as_of={position}")).await;
    assert_eq!(before.expect(200), created);
    let copy = json!({"deployments_from_group": "g1"});
    let copied = server.put("deployment-groups/g2", &copy).await.expect(200);
    assert_eq!(copied["deployment_ids"], shrunk["deployment_ids"]);
    server.delete(GROUP).await.expect(204);
    server
        .get(GROUP)
        .await
        .refused(404, "not_found_error", "g1");
    let two = server.get("deployments/two").await.expect(200);
    assert_eq!(two["deployment_groups"], json!(["g2"]));
    server.stop().await;
}

#[tokio::test]
async fn labels_of_a_group_are_those_of_its_deployments() {
    let server = server(&["one", "two"]).await;
    let new = json!({"labels": [{"env": "prod"}], "deployment_ids": ["one"]});
    server.put(GROUP, &new).await.expect(200);
    let labels = async |id: &str| -> Vec<Value> {
        let body = server.get(&format!("deployments/{id}")).await.expect(200);
        let labels = body["labels"].as_array().unwrap().iter();
        labels.map(|label| label["value"].clone()).collect()
    };
    assert_eq!(labels("one").await, ["prod"]);
    let add = json!({"add": {"deployment_ids": ["two"]}});
    server.patch(GROUP, &add).await.expect(200);
    assert_eq!(labels("two").await, ["prod"]);
    let other = json!({"labels": [{"env": "test"}]});
    let changed = server.put(GROUP, &other).await.expect(200);
    assert_eq!(changed["deployment_ids"].as_array().unwrap().len(), 2);
    assert_eq!(labels("one").await, ["test"]);
    assert_eq!(labels("two").await, ["test"]);
    server.stop().await;
}

#[tokio::test]
async fn a_group_creates_its_deployments_and_takes_them_away() {
    let server = server(&[]).await;
    let new = json!({
        "blueprint_id": "bp", "default_inputs": {"port": 7}, "labels": [{"env": "prod"}],
        "new_deployments": [{}, {"id": "{group_id}-{count}", "inputs": {"name": "n"}}],
    });
    let created = server.put(GROUP, &new).await.expect(200);
    assert_eq!(created["creation_counter"], 2);
    let ids = created["deployment_ids"].as_array().unwrap();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&json!("g1-2")), "{ids:?}");
    let groups = server
        .get("execution-groups?_get_data=true")
        .await
        .expect(200);
    let group = &groups["items"][0];
    assert_eq!(group["workflow_id"], "create_deployment_environment");
    let path = format!("execution-groups/{}", group["id"].as_str().unwrap());
    let ended = until(&server, &path, has_ended).await;
    assert_eq!(ended["status"], "terminated");
    let made = server.get("deployments/g1-2").await.expect(200);
    assert_eq!(made["inputs"], json!({"port": 7, "name": "n"}));
    assert_eq!(made["labels"][0]["value"], "prod");
    let gone = server
        .delete(&format!("{GROUP}?delete_deployments=true"))
        .await
        .expect(200);
    assert!(gone["execution_group_id"].is_string());
    let none = |body: &Value| body["metadata"]["pagination"]["total"] == 0;
    until(&server, "deployments", none).await;
    server.stop().await;
}

#[tokio::test]
async fn executions_of_a_group_run_some_at_a_time() {
    let server = server(&["one", "two", "three"]).await;
    let new = json!({"deployment_ids": ["one", "two", "three"]});
    server.put(GROUP, &new).await.expect(200);
    for id in ["good", "bad"] {
        let path = format!("deployment-groups/{id}");
        server.put(&path, &json!({})).await.expect(200);
    }
    let held = json!({"deployment_group_id": "g1", "workflow_id": "install", "concurrency": 0});
    let id = start(&server, &held).await;
    let path = format!("execution-groups/{id}");
    let queued = server.get(&path).await.expect(200);
    assert_eq!(queued["status"], "queued");
    assert_eq!(queued["execution_ids"].as_array().unwrap().len(), 3);
    let change = json!({"concurrency": 1, "success_group_id": "good", "failure_group_id": "bad"});
    server.patch(&path, &change).await.expect(200);
    let ended = until(&server, &path, has_ended).await;
    assert_eq!(ended["status"], "terminated");
    let good = server.get("deployment-groups/good").await.expect(200);
    assert_eq!(good["deployment_ids"].as_array().unwrap().len(), 3);
    let events = server
        .get(&format!("events?execution_group_id={id}"))
        .await
        .expect(200);
    assert!(events["metadata"]["pagination"]["total"].as_i64().unwrap() >= 9);
    let broken = json!({"deployment_group_id": "g1", "workflow_id": "broken"});
    let id = start(&server, &broken).await;
    let path = format!("execution-groups/{id}");
    until(&server, &path, has_ended).await;
    // whoever receives them may be named later, too
    let change = json!({"failure_group_id": "bad"});
    server.patch(&path, &change).await.expect(200);
    let bad = server.get("deployment-groups/bad").await.expect(200);
    assert_eq!(bad["deployment_ids"].as_array().unwrap().len(), 3);
    let listed = server
        .get(&format!("executions?_group_id={id}"))
        .await
        .expect(200);
    assert_eq!(listed["metadata"]["pagination"]["total"], 3);
    server.stop().await;
}

#[tokio::test]
async fn a_group_of_executions_is_cancelled_and_resumed() {
    let server = server(&["one", "two"]).await;
    server
        .put(GROUP, &json!({"deployment_ids": ["one", "two"]}))
        .await
        .expect(200);
    let held = json!({"deployment_group_id": "g1", "workflow_id": "install", "concurrency": 0});
    let path = format!("execution-groups/{}", start(&server, &held).await);
    let cancelled = server.post(&path, &json!({"action": "cancel"})).await;
    assert_eq!(cancelled.expect(200)["status"], "terminated");
    server
        .patch(&path, &json!({"concurrency": 2}))
        .await
        .expect(200);
    server
        .post(&path, &json!({"action": "resume"}))
        .await
        .expect(200);
    let ended = until(&server, &path, has_ended).await;
    let id = ended["execution_ids"][0].as_str().unwrap();
    let execution = server.get(&format!("executions/{id}")).await.expect(200);
    assert_eq!(
        (&execution["status"], &execution["resume"]),
        (&json!("terminated"), &json!(true))
    );
    let story = server
        .get(&format!("executions/{id}/timeline"))
        .await
        .expect(200);
    let steps: Vec<&str> = story["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["text"].as_str().unwrap())
        .collect();
    assert!(steps[0].starts_with("created as queued"), "{steps:?}");
    assert!(
        steps
            .iter()
            .any(|step| step.starts_with("queued because of")),
        "{steps:?}"
    );
    assert!(steps.contains(&"was resumed"), "{steps:?}");
    assert_eq!(story["items"][0]["actor"], "admin");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_group_is_refused_and_changes_nothing() {
    let server = server(&["one"]).await;
    server
        .put(GROUP, &json!({"deployment_ids": ["one"]}))
        .await
        .expect(200);
    let position = server.position();
    for (body, status) in [
        (json!({"deployment_ids": ["nosuch"]}), 404),
        (json!({"blueprint_id": "nosuch"}), 404),
        (json!({"filter_id": "nosuch"}), 404),
        (json!({"deployments_from_group": "nosuch"}), 404),
        (json!({"new_deployments": [{}]}), 409),
        (json!({"labels": ["x"]}), 400),
        (json!({"visibility": "everybody"}), 400),
        (json!({"filter_rules": [{"key": "a"}]}), 400),
        (json!({"deployment_ids": "one"}), 400),
    ] {
        let answer = server.put(GROUP, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        let answer = server
            .patch(GROUP, &json!({"remove": {"new_deployments": []}}))
            .await;
        answer.refused(400, "bad_parameters_error", "new_deployments");
    }
    for (body, status) in [
        (
            json!({"deployment_group_id": "nosuch", "workflow_id": "install"}),
            404,
        ),
        (json!({"deployment_group_id": "g1"}), 400),
        (
            json!({"deployment_group_id": "g1", "workflow_id": "install", "concurrency": -1}),
            400,
        ),
        (
            json!({"deployment_group_id": "g1", "workflow_id": "install",
                "default_parameters": {"nosuch": 1}}),
            400,
        ),
    ] {
        let answer = server.post("execution-groups", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    assert_eq!(server.position(), position);
    server.stop().await;
}

#[tokio::test]
async fn an_execution_is_ended_by_force_with_a_reason() {
    let server = server(&["one"]).await;
    server
        .put(GROUP, &json!({"deployment_ids": ["one"]}))
        .await
        .expect(200);
    let held = json!({"deployment_group_id": "g1", "workflow_id": "install", "concurrency": 0});
    let group = start(&server, &held).await;
    let group = server
        .get(&format!("execution-groups/{group}"))
        .await
        .expect(200);
    let path = format!("executions/{}", group["execution_ids"][0].as_str().unwrap());
    let mute = json!({"action": "force-terminal"});
    server
        .post(&path, &mute)
        .await
        .refused(400, "bad_parameters_error", "reason");
    let told = json!({"action": "force-terminal", "reason": "its host burnt down"});
    let ended = server.post(&path, &told).await.expect(200);
    assert_eq!(ended["status"], "failed");
    assert_eq!(
        ended["error"],
        "Ended by force by `admin`: its host burnt down"
    );
    server
        .post(&path, &told)
        .await
        .refused(400, "illegal_action_error", "failed");
    server.stop().await;
}
