//! `/filters`, and lists narrowed by them.
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

fn label(key: &str, value: &str) -> Value {
    json!({"key": key, "values": [value], "operator": "any_of", "type": "label"})
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "values": [value], "operator": "any_of", "type": "attribute"})
}

#[tokio::test]
async fn a_filter_is_kept_in_its_two_parts() {
    let server = TestServer::start().await;
    let path = "filters/deployments/f1";
    let rules = json!([label("env", "prod"), attribute("blueprint_id", "bp")]);
    let created = server.put(path, &json!({"filter_rules": rules})).await;
    let created = created.expect(200);
    assert_eq!(created["value"], rules);
    assert_eq!(
        created["labels_filter_rules"],
        json!([label("env", "prod")])
    );
    assert_eq!(
        created["attrs_filter_rules"],
        json!([attribute("blueprint_id", "bp")])
    );
    let change = json!({"filter_rules": [label("env", "test")]});
    let changed = server.patch(path, &change).await.expect(200);
    assert_eq!(
        changed["value"],
        json!([label("env", "test"), attribute("blueprint_id", "bp")]),
        "rules of the other type stay"
    );
    assert_eq!(server.get(path).await.expect(200), changed);
    let others = server.get("filters/blueprints").await.expect(200);
    assert_eq!(others["items"], json!([]));
    server.delete(path).await.expect(204);
    server.get(path).await.refused(404, "not_found_error", "f1");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_filter_is_refused() {
    let server = TestServer::start().await;
    let path = "filters/deployments/f1";
    let none = json!({"filter_rules": [{"key": "a"}]});
    server
        .put(path, &none)
        .await
        .refused(400, "invalid_filter_rule", "filter rule");
    let rules = json!({"filter_rules": [label("a", "b")]});
    server
        .put("filters/deployments/csys-mine", &rules)
        .await
        .refused(400, "bad_parameters_error", "csys-");
    server.put(path, &rules).await.expect(200);
    server
        .put(path, &rules)
        .await
        .refused(409, "conflict_error", "already exists");
    server
        .patch(path, &json!({}))
        .await
        .refused(400, "bad_parameters_error", "must be provided");
    server.stop().await;
}

#[tokio::test]
async fn lists_are_narrowed_by_a_stored_filter() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    blueprint(&server, "other").await;
    deployment(&server, "bp", "one").await;
    deployment(&server, "other", "two").await;
    let rules = json!({"filter_rules": [attribute("blueprint_id", "other")]});
    let path = "filters/deployments/f1";
    server.put(path, &rules).await.expect(200);
    let ids = |list: &Value| -> Vec<Value> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].clone()).collect()
    };
    let list = "deployments?_filter_id=f1";
    let listed = server.get(list).await.expect(200);
    assert_eq!(ids(&listed), ["two"]);
    assert_eq!(listed["metadata"]["filtered"], 1);
    let searched = server
        .post(
            "searches/deployments?_filter_id=f1",
            &json!({"filter_rules": []}),
        )
        .await;
    assert_eq!(ids(&searched.expect(200)), ["two"]);
    // the list was remembered, and must not outlive the filter it used
    let change = json!({"filter_rules": [attribute("blueprint_id", "bp")]});
    server.patch(path, &change).await.expect(200);
    assert_eq!(ids(&server.get(list).await.expect(200)), ["one"]);
    server
        .get("deployments?_filter_id=nosuch")
        .await
        .refused(404, "not_found_error", "nosuch");
    server.stop().await;
}

#[tokio::test]
async fn a_remembered_list_is_as_new_as_the_log() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    let first = server.get("deployments").await;
    let again = server.get("deployments").await;
    assert_eq!(first.body, again.body);
    server.put("tenants/elsewhere", &json!({})).await;
    let before = server.position();
    let later = server.get("deployments").await;
    assert_eq!((later.position(), &later.body), (before, &first.body));
    deployment(&server, "bp", "two").await;
    let now = server.get("deployments").await.expect(200);
    assert_eq!(now["metadata"]["pagination"]["total"], 2);
    server.stop().await;
}
