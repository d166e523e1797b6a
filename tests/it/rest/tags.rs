//! Tags of everything that is answered with one: changes under a tag that is not the newest are
//! refused, and those under the newest one are made.
use std::convert::Infallible;

use futures::stream;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{blueprint, deployment, instances, schedules::until};
use crate::support::server::{Answer, TestServer};

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

async fn under(server: &TestServer, tag: &str, method: &str, path: &str, body: &Value) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = server.request(method, path).header("If-Match", tag);
    server.send(request.json(body)).await
}

/// One of everything.
async fn given() -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "b").await;
    deployment(&server, "b", "d").await;
    instances(&server, "d", &["i1"]).await;
    let rule = json!({"key": "a", "values": ["b"], "operator": "any_of", "type": "label"});
    let schedule = json!({"workflow_id": "install", "since": "2090-01-01 00:00:00",
        "recurrence": "1 day", "count": 2});
    let agent = json!({"node_instance_id": "i1", "state": "creating",
        "create_rabbitmq_user": false, "install_method": "remote", "rabbitmq_exchange": "a"});
    let manager = json!({"hostname": "m2", "private_ip": "10.0.0.2", "public_ip": "10.0.0.2",
        "version": "7.1.0", "edition": "community", "distribution": "linux",
        "distro_release": "9"});
    for (method, path, body) in [
        (
            "PUT",
            "users",
            json!({"username": "Ann", "password": "annann"}),
        ),
        ("POST", "tenants/t1", json!({})),
        ("POST", "user-groups", json!({"group_name": "g"})),
        (
            "PUT",
            "filters/deployments/f",
            json!({"filter_rules": [rule]}),
        ),
        ("PUT", "execution-schedules/s?deployment_id=d", schedule),
        ("PUT", "agents/a", agent),
        ("POST", "managers", manager),
        (
            "POST",
            "brokers",
            json!({"name": "b2", "address": "10.0.0.3"}),
        ),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = server.send(server.request(method, path).json(&body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.json());
    }
    server
}

#[tokio::test]
async fn what_has_a_tag_is_changed_under_it_only() {
    let server = given().await;
    let rule = json!({"key": "a", "values": ["c"], "operator": "any_of", "type": "label"});
    for (path, method, change) in [
        ("users/ann", "POST", json!({"role": "sys_admin"})),
        ("user-groups/g", "POST", json!({"role": "sys_admin"})),
        (
            "filters/deployments/f",
            "PATCH",
            json!({"filter_rules": [rule]}),
        ),
        (
            "execution-schedules/s?deployment_id=d",
            "PATCH",
            json!({"slip": 3}),
        ),
        ("agents/a", "PATCH", json!({"state": "created"})),
    ] {
        let seen = tag(&server.get(path).await);
        let changed = under(&server, &seen, method, path, &change).await;
        assert!(changed.status.is_success(), "{path}: {}", changed.json());
        assert_ne!(tag(&changed), seen, "{path}");
        assert_eq!(tag(&server.get(path).await), tag(&changed), "{path}");
        let position = server.position();
        let refused = under(&server, &seen, method, path, &change).await;
        refused.refused(412, "precondition_failed_error", "If-Match");
        assert_eq!(server.position(), position, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_has_a_tag_is_deleted_under_it_only() {
    let server = given().await;
    let joined = json!({"fs_sync_node_id": "s"});
    let manager = server.put("managers/m2", &joined).await;
    let networks = json!({"networks": {"far": "10.9.0.3"}});
    let broker = server.put("brokers/b2", &networks).await;
    for (path, shown) in [
        ("users/ann", None),
        ("user-groups/g", None),
        ("tenants/t1", None),
        ("filters/deployments/f", None),
        ("execution-schedules/s?deployment_id=d", None),
        ("managers/m2", Some(manager)),
        ("brokers/b2", Some(broker)),
    ] {
        let seen = match shown {
            Some(shown) => tag(&shown),
            None => tag(&server.get(path).await),
        };
        let position = server.position();
        let refused = under(&server, "\"1\"", "DELETE", path, &Value::Null).await;
        refused.refused(412, "precondition_failed_error", "If-Match");
        assert_eq!(server.position(), position, "{path}");
        under(&server, &seen, "DELETE", path, &Value::Null)
            .await
            .expect(204);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_done_to_users_by_name_is_done_under_their_tag() {
    let server = given().await;
    let seen = tag(&server.get("users/ann").await);
    let path = "users/active/ann";
    let off = json!({"action": "deactivate"});
    under(&server, &seen, "POST", path, &off).await.expect(200);
    let on = json!({"action": "activate"});
    let refused = under(&server, &seen, "POST", path, &on).await;
    refused.refused(412, "precondition_failed_error", "If-Match");
    // neither names a resource
    for (method, path) in [("PUT", "tenants/users"), ("PUT", "user-groups/users")] {
        let body = json!({"tenant_name": "t1", "username": "ann", "group_name": "g",
            "role": "user"});
        let refused = under(&server, "*", method, path, &body).await;
        refused.refused(400, "bad_parameters_error", "without an ETag");
    }
    // without a tenant, too
    let request = server
        .anonymous(Method::POST, "users/ann")
        .basic_auth("admin", Some(crate::support::server::PASSWORD))
        .header("If-Match", "\"1\"");
    let refused = server.send(request.json(&json!({"role": "default"}))).await;
    refused.refused(412, "precondition_failed_error", "If-Match");
    server.stop().await;
}

/// A request with terms is handed on with its sender: what it takes to be known is asked for once.
#[tokio::test]
async fn who_sends_a_request_with_terms_proves_it_once() {
    let server = TestServer::start().await;
    let token = server.post("tokens", &json!({})).await.expect(200);
    let (id, value) = (token["id"].as_str().unwrap(), token["value"].as_str());
    let text = json!({"location": "1,2"}).to_string();
    let length = text.len();
    let (go, gone) = oneshot::channel::<()>();
    let body = stream::once(async move {
        gone.await.unwrap();
        Ok::<_, Infallible>(text)
    });
    let request = server
        .anonymous(Method::PUT, "sites/s1")
        .header("Authentication-Token", value.unwrap())
        .header("Tenant", "default_tenant")
        .header("Content-Type", "application/json")
        .header("Content-Length", length)
        .header("Idempotency-Key", "k")
        .body(reqwest::Body::wrap_stream(body));
    let path = format!("tokens/{id}");
    let withdrawn = async {
        // its use is noted as soon as it is known who asks
        until(&server, &path, |token| !token["last_used"].is_null()).await;
        server.delete(&path).await.expect(204);
        go.send(()).unwrap();
    };
    let (answer, ()) = futures::join!(server.send(request), withdrawn);
    answer.expect(200);
    server.stop().await;
}
