//! `/sites`, and which deployments are at them.
use reqwest::Method;
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

async fn site_of(server: &TestServer, deployment: &str) -> Value {
    let path = format!("deployments/{deployment}");
    server.get(&path).await.expect(200)["site_name"].clone()
}

#[tokio::test]
async fn a_site_is_made_moved_and_looked_back_at() {
    let server = TestServer::start().await;
    let body = json!({"location": "32.1,34.9", "visibility": "tenant"});
    let made = server.put("sites/s1", &body).await.expect(200);
    assert_eq!(made["location"], "32.1, 34.9");
    assert_eq!(
        (&made["latitude"], &made["longitude"]),
        (&json!(32.1), &json!(34.9))
    );
    assert!(made.get("id").is_none(), "{made}");
    let before = server.position();
    let change = json!({"location": "1.0,2.0", "new_name": "s1b"});
    let moved = server.post("sites/s1", &change).await.expect(200);
    assert_eq!(
        (&moved["name"], &moved["location"]),
        (&json!("s1b"), &json!("1.0, 2.0"))
    );
    server
        .get("sites/s1")
        .await
        .refused(404, "not_found_error", "s1");
    let then = server
        .get(&format!("sites/s1?_as_of={before}"))
        .await
        .expect(200);
    assert_eq!(then, made);
    let cleared = json!({"location": ""});
    let nowhere = server.post("sites/s1b", &cleared).await.expect(200);
    assert_eq!(nowhere["location"], Value::Null);
    let listed = server.get("sites?_sort=name&_search=1B").await.expect(200);
    assert_eq!(listed["items"], json!([nowhere]));
    server.delete("sites/s1b").await.expect(204);
    assert_eq!(server.get("sites").await.expect(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_site_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    for location in ["here", "91,0", "0,181", "1"] {
        server
            .put("sites/s1", &json!({"location": location}))
            .await
            .refused(400, "bad_parameters_error", "location");
    }
    server.put("sites/1s", &json!({})).await.refused(
        400,
        "bad_parameters_error",
        "must begin with a letter",
    );
    server
        .get("sites/s1")
        .await
        .refused(404, "not_found_error", "s1");
    let made = server
        .put("sites/s1", &json!({"visibility": "global"}))
        .await
        .expect(200);
    server.put("sites/s2", &json!({})).await.expect(200);
    server
        .put("sites/s1", &json!({}))
        .await
        .refused(409, "conflict_error", "already exists");
    server
        .post("sites/s2", &json!({"new_name": "s1"}))
        .await
        .refused(409, "conflict_error", "already exists");
    server
        .post("sites/s1", &json!({"visibility": "tenant"}))
        .await
        .refused(400, "illegal_action_error", "wider visibility");
    server.post("tenants/other", &json!({})).await.expect(201);
    let elsewhere = |method: Method| {
        server
            .anonymous(method, "sites/s1")
            .basic_auth("admin", Some("admin-password"))
            .header("Tenant", "other")
    };
    assert_eq!(server.send(elsewhere(Method::GET)).await.expect(200), made);
    server.send(elsewhere(Method::DELETE)).await.refused(
        400,
        "illegal_action_error",
        "outside its tenant",
    );
    assert_eq!(server.get("sites/s1").await.expect(200), made);
    server.stop().await;
}

#[tokio::test]
async fn deployments_follow_their_site() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    server.put("sites/s1", &json!({})).await.expect(200);
    let path = "deployments/one/set-site";
    for neither in [json!({}), json!({"site_name": "s1", "detach_site": true})] {
        server
            .post(path, &neither)
            .await
            .refused(400, "bad_parameters_error", "site_name");
    }
    server
        .post(path, &json!({"site_name": "nosuch"}))
        .await
        .refused(404, "not_found_error", "nosuch");
    let put = server
        .post(path, &json!({"site_name": "s1"}))
        .await
        .expect(200);
    assert_eq!(put["site_name"], "s1");
    let listed = server.get("deployments?site_name=s1").await.expect(200);
    assert_eq!(listed["items"][0]["id"], "one");
    server
        .post("sites/s1", &json!({"new_name": "s2"}))
        .await
        .expect(200);
    assert_eq!(site_of(&server, "one").await, "s2");
    let named = server.position();
    server.delete("sites/s2").await.expect(204);
    assert_eq!(site_of(&server, "one").await, Value::Null);
    let then = server
        .get(&format!("deployments/one?_as_of={named}"))
        .await
        .expect(200);
    assert_eq!(then["site_name"], "s2");
    server.put("sites/s1", &json!({})).await.expect(200);
    server
        .post(path, &json!({"site_name": "s1"}))
        .await
        .expect(200);
    let detached = server
        .post(path, &json!({"detach_site": true}))
        .await
        .expect(200);
    assert_eq!(detached["site_name"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn a_site_must_be_seen_by_whoever_sees_the_deployment() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "one").await;
    server
        .put("sites/mine", &json!({"visibility": "private"}))
        .await
        .expect(200);
    server
        .post("deployments/one/set-site", &json!({"site_name": "mine"}))
        .await
        .refused(400, "illegal_action_error", "wider");
    let new = json!({"blueprint_id": "bp", "site_name": "mine", "inputs": {"port": 1}});
    server
        .put("deployments/two?async_create=true", &new)
        .await
        .refused(400, "illegal_action_error", "wider");
    let new = json!({"blueprint_id": "bp", "site_name": "nosuch", "inputs": {"port": 1}});
    server
        .put("deployments/two?async_create=true", &new)
        .await
        .refused(404, "not_found_error", "nosuch");
    server
        .get("deployments/two")
        .await
        .refused(404, "not_found_error", "two");
    server.put("sites/s1", &json!({})).await.expect(200);
    let new = json!({"blueprint_id": "bp", "site_name": "s1", "inputs": {"port": 1}});
    let made = server
        .put("deployments/two?async_create=true", &new)
        .await
        .expect(201);
    assert_eq!(made["site_name"], "s1");
    server.stop().await;
}

#[tokio::test]
async fn who_only_looks_changes_no_site() {
    let server = TestServer::start().await;
    let user = json!({"username": "vera", "password": "vera-password"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "vera", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
    server.put("sites/s1", &json!({})).await.expect(200);
    let as_vera = |method: Method, path: &str| {
        server
            .anonymous(method, path)
            .basic_auth("vera", Some("vera-password"))
            .header("Tenant", "default_tenant")
    };
    server
        .send(as_vera(Method::GET, "sites/s1"))
        .await
        .expect(200);
    let requests = [
        as_vera(Method::PUT, "sites/s2").json(&json!({})),
        as_vera(Method::POST, "sites/s1").json(&json!({"location": "1,1"})),
        as_vera(Method::DELETE, "sites/s1"),
    ];
    for request in requests {
        server
            .send(request)
            .await
            .refused(403, "forbidden_error", "site_");
    }
    server.stop().await;
}
