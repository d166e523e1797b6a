//! `/managers`, `/brokers`, `/db-nodes`: further nodes of the cluster.
use serde_json::{Value, json};
use stratalog::config::Hidden;

use super::{blueprint, deployment, instances};
use crate::support::server::TestServer;

fn manager() -> Value {
    json!({"hostname": "m2", "private_ip": "10.0.0.2", "public_ip": "m2.example.org",
        "version": "7.1.0", "edition": "community", "distribution": "linux",
        "distro_release": "9", "networks": {"default": "10.0.0.2", "far": "172.16.0.2"}})
}

async fn names(server: &TestServer, path: &str, key: &str) -> Vec<String> {
    let page = server.get(path).await.expect(200);
    let items = page["items"].as_array().unwrap();
    let name = |item: &Value| item[key].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn further_managers_are_listed_until_they_are_forgotten() {
    let server = TestServer::start().await;
    let own = names(&server, "managers", "hostname").await.remove(0);
    let added = server.post("managers", &manager()).await.expect(200);
    assert_eq!(added["networks"]["far"], "172.16.0.2");
    assert!(added["id"].as_i64().unwrap() > 1);
    assert_eq!(
        names(&server, "managers", "hostname").await,
        [own.as_str(), "m2"]
    );
    assert_eq!(
        names(&server, "managers?hostname=m2", "public_ip").await,
        ["m2.example.org"]
    );
    server
        .post("managers", &manager())
        .await
        .refused(409, "conflict_error", "m2");
    let joined = json!({"fs_sync_node_id": "sync-2", "bootstrap_cluster": false});
    let changed = server.put("managers/m2", &joined).await.expect(200);
    assert_eq!(changed["fs_sync_node_id"], "sync-2");
    assert_eq!(changed["private_ip"], "10.0.0.2");
    let position = server.position();
    server.delete("managers/m2").await.expect(204);
    server
        .delete("managers/m2")
        .await
        .refused(404, "not_found_error", "m2");
    server.delete(&format!("managers/{own}")).await.refused(
        400,
        "illegal_action_error",
        "settings",
    );
    assert_eq!(names(&server, "managers", "hostname").await, [own.as_str()]);
    let then = format!("managers?_as_of={position}");
    assert_eq!(
        names(&server, &then, "hostname").await,
        [own.as_str(), "m2"]
    );
    server.stop().await;
}

#[tokio::test]
async fn further_brokers_have_networks() {
    let server = TestServer::start().await;
    let broker = json!({"name": "b2", "address": "10.0.0.3"});
    let added = server.post("brokers", &broker).await.expect(200);
    assert_eq!(
        (&added["host"], &added["port"], &added["networks"]),
        (
            &json!("10.0.0.3"),
            &json!(5671),
            &json!({"default": "10.0.0.3"})
        )
    );
    let networks = json!({"networks": {"far": "172.16.0.3"}});
    let changed = server.put("brokers/b2", &networks).await.expect(200);
    let both = json!({"default": "10.0.0.3", "far": "172.16.0.3"});
    assert_eq!(changed["networks"], both);
    assert_eq!(names(&server, "brokers", "name").await, ["b2"]);
    server.delete("brokers/b2").await.expect(204);
    server
        .put("brokers/b2", &networks)
        .await
        .refused(404, "not_found_error", "b2");
    assert!(names(&server, "brokers", "name").await.is_empty());
    let again = server.post("db-nodes", &json!({"action": "update"})).await;
    assert_eq!(again.expect(200)["items"], json!([]));
    server.stop().await;
}

/// Agents hear of it with the next change; the change itself does not wait for them.
#[tokio::test]
async fn what_is_stored_while_the_broker_is_away_is_answered_as_stored() {
    let away = "amqp://guest:guest@127.0.0.1:1/".to_owned();
    let server = TestServer::start_with(|settings| {
        settings.run_executions = false;
        settings.amqp_url = Some(Hidden(away));
    })
    .await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    instances(&server, "d", &["i1"]).await;
    let agent = json!({"node_instance_id": "i1", "state": "started",
        "create_rabbitmq_user": false, "install_method": "remote", "rabbitmq_exchange": "a"});
    server.put("agents/a", &agent).await.expect(200);
    let (broker, manager) = (json!({"name": "b2", "address": "10.0.0.3"}), manager());
    let added = futures::join!(
        server.post("brokers", &broker),
        server.post("managers", &manager)
    );
    assert_eq!(added.0.expect(200)["name"], "b2");
    assert_eq!(added.1.expect(200)["hostname"], "m2");
    assert!(
        names(&server, "brokers", "name")
            .await
            .contains(&"b2".to_owned())
    );
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_node_is_refused() {
    let server = TestServer::start().await;
    let before = server.position();
    let mut nowhere = manager();
    nowhere["private_ip"] = json!("no where");
    let mut elsewhere = manager();
    elsewhere["private_ip"] = json!("10.0.0.9");
    let mut unsigned = manager();
    unsigned["ca_cert"] = json!("no certificate");
    for bad in [nowhere, elsewhere, unsigned, json!({"hostname": "m2"})] {
        server
            .post("managers", &bad)
            .await
            .refused(400, "bad_parameters_error", "");
    }
    let broker = json!({"name": "b2", "address": "10.0.0.3", "networks": {"default": 5}});
    server
        .post("brokers", &broker)
        .await
        .refused(400, "bad_parameters_error", "default");
    server
        .post("db-nodes", &json!({"action": "forget"}))
        .await
        .refused(400, "unknown_action", "forget");
    assert_eq!(
        server.position(),
        before + 1,
        "the first login, and nothing else"
    );
    server.stop().await;
}
