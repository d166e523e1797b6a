//! `/node-instances`
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

#[tokio::test]
async fn an_update_replaces_and_counts() {
    let server = given().await;
    let patch = async |body: Value| server.patch("node-instances/db_1", &body).await;
    let first = patch(json!({"version": 1, "runtime_properties": {"a": 1, "b": 2}})).await;
    assert_eq!(first.expect(200)["version"], 2);
    let second = patch(json!({"version": 2, "runtime_properties": {"a": 1}, "state": null}));
    let second = second.await.expect(200);
    assert_eq!(second["runtime_properties"], json!({"a": 1}));
    assert_eq!(
        (&second["version"], &second["state"]),
        (&json!(3), &json!("started"))
    );
    let same = patch(json!({"version": 3, "runtime_properties": {"a": 1}})).await;
    assert_eq!(same.expect(200)["version"], 3, "nothing changed");
    let read = server.get("node-instances/db_1").await.expect(200);
    assert_eq!(read, same.json());
    server.stop().await;
}

#[tokio::test]
async fn an_old_version_conflicts() {
    let server = given().await;
    let patch = async |path: &str, body: Value| server.patch(path, &body).await;
    let path = "node-instances/db_1";
    patch(path, json!({"version": 99, "state": "a"}))
        .await
        .expect(200);
    patch(path, json!({"version": 1, "state": "b"}))
        .await
        .refused(
            409,
            "conflict_error",
            "Node instance update conflict [current version=2, update version=1]",
        );
    let forced = patch(
        &format!("{path}?force=true"),
        json!({"version": 1, "state": "b"}),
    )
    .await;
    assert_eq!(forced.expect(200)["version"], 3);
    patch(path, json!({"state": "c"}))
        .await
        .refused(400, "bad_parameters_error", "version");
    patch(path, json!({"version": -1}))
        .await
        .refused(400, "bad_parameters_error", "version");
    patch(path, json!({"version": 3, "runtime_properties": []}))
        .await
        .refused(400, "bad_parameters_error", "dict");
    patch(path, json!({"version": 3, "relationships": []}))
        .await
        .refused(403, "only_deployment_update", "update");
    patch("node-instances/no", json!({"version": 1}))
        .await
        .refused(404, "not_found_error", "no");
    server.stop().await;
}

#[tokio::test]
async fn racing_updates_of_one_version_all_land_or_conflict() {
    let server = given().await;
    let racers = (0..20).map(|n| {
        let body = json!({"version": 1, "runtime_properties": {"n": n}});
        let server = &server;
        async move {
            server
                .patch("node-instances/db_1", &body)
                .await
                .status
                .as_u16()
        }
    });
    let statuses = futures::future::join_all(racers).await;
    let won = statuses.iter().filter(|status| **status == 200).count();
    let lost = statuses.iter().filter(|status| **status == 409).count();
    assert_eq!((won, lost), (1, 19), "{statuses:?}");
    server.stop().await;
}

#[tokio::test]
async fn taken_ids_are_made_anew() {
    let server = given().await;
    let twice = json!({"deployment_id": "dep", "node_instances": [
        {"id": "db_1", "node_id": "db"},
        {"id": "app_1", "node_id": "app", "host_id": "db_1",
         "relationships": [{"target_id": "db_1", "target_name": "db", "type": "t"}]},
    ]});
    server.post("node-instances", &twice).await.expect(201);
    let app = server.get("node-instances/app_1").await.expect(200);
    let renamed = app["host_id"].as_str().unwrap();
    assert!(renamed.starts_with("db_") && renamed != "db_1", "{renamed}");
    assert_eq!(app["relationships"][0]["target_id"], renamed);
    let second = server
        .get(&format!("node-instances/{renamed}"))
        .await
        .expect(200);
    assert_eq!(
        (&second["index"], &second["state"]),
        (&json!(2), &json!("uninitialized"))
    );
    server.stop().await;
}

#[tokio::test]
async fn what_programs_say_is_kept_whatever_its_characters() {
    let server = given().await;
    let said = json!({"version": 1, "state": "odd\0", "runtime_properties": {"a": "b\0\u{ffff}"}});
    let changed = server.patch("node-instances/db_1", &said).await.expect(200);
    assert_eq!(changed["runtime_properties"], said["runtime_properties"]);
    assert_eq!(changed["state"], "odd\0");
    let found = server
        .get("node-instances?private_resource=false&_sort=-private_resource")
        .await
        .expect(200);
    assert_eq!(
        found["items"][0], changed,
        "documents are still looked into"
    );
    let evaluated = server
        .get("node-instances/db_1?_evaluate_functions=true")
        .await
        .expect(200);
    assert_eq!(evaluated["runtime_properties"], said["runtime_properties"]);
    server.stop().await;
}
