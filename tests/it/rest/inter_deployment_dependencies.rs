//! `/deployments/inter-deployment-dependencies`
use reqwest::Method;
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::{Answer, TestServer};

const PATH: &str = "deployments/inter-deployment-dependencies";

/// Some deployments.
pub(super) async fn started(ids: &[&str]) -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for id in ids {
        deployment(&server, "bp", id).await;
    }
    server
}

fn dependency(creator: &str, source: &str, target: &str) -> Value {
    json!({"dependency_creator": creator, "source_deployment": source,
        "target_deployment": target})
}

async fn add(server: &TestServer, creator: &str, source: &str, target: &str) -> Value {
    let body = dependency(creator, source, target);
    server.put(PATH, &body).await.expect(200)
}

async fn remove(server: &TestServer, body: &Value) -> Answer {
    server
        .send(server.request(Method::DELETE, PATH).json(body))
        .await
}

async fn consumers(server: &TestServer, id: &str) -> Vec<String> {
    let deployment = server.get(&format!("deployments/{id}")).await.expect(200);
    let labels = deployment["labels"].as_array().unwrap();
    labels
        .iter()
        .filter(|label| label["key"] == "csys-consumer-id")
        .map(|label| label["value"].as_str().unwrap().to_owned())
        .collect()
}

async fn listed(server: &TestServer, query: &str) -> Vec<String> {
    let path = format!("{PATH}?_include=dependency_creator{query}");
    let listed = server.get(&path).await.expect(200);
    let items = listed["items"].as_array().unwrap();
    let name = |item: &Value| item["dependency_creator"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[tokio::test]
async fn a_dependency_is_recorded_listed_and_forgotten() {
    let server = started(&["app", "base", "other"]).await;
    // when
    let made = add(&server, "a.b", "app", "base").await;
    // then
    let expected = json!({
        "created_at": made["created_at"], "id": made["id"], "dependency_creator": "a.b",
        "target_deployment_func": null, "external_source": null, "external_target": null,
        "source_deployment_id": "app", "target_deployment_id": "base", "visibility": "tenant",
        "tenant_name": "default_tenant", "created_by": "admin",
        "resource_availability": "tenant", "private_resource": false,
    });
    assert_eq!(made, expected);
    assert_eq!(consumers(&server, "base").await, ["app"]);
    add(&server, "second", "app", "base").await;
    add(&server, "component.c_1", "app", "other").await;
    assert_eq!(consumers(&server, "other").await, [""; 0]);
    for (query, expected) in [
        ("", &["a.b", "second", "component.c_1"][..]),
        (
            "&_sort=-dependency_creator",
            &["second", "component.c_1", "a.b"],
        ),
        ("&target_deployment_id=base&_size=1", &["a.b"]),
        ("&source_deployment_id=base", &[]),
    ] {
        assert_eq!(listed(&server, query).await, expected, "{query}");
    }
    let searched = made["id"].as_str().unwrap();
    let searched = listed(&server, &format!("&_search={searched}")).await;
    assert_eq!(searched, ["a.b"]);
    let before = server.position();
    remove(&server, &dependency("a.b", "app", "base"))
        .await
        .expect(204);
    assert_eq!(consumers(&server, "base").await, ["app"]);
    remove(&server, &dependency("second", "app", "base"))
        .await
        .expect(204);
    assert_eq!(consumers(&server, "base").await, [""; 0]);
    assert_eq!(listed(&server, "").await, ["component.c_1"]);
    let then = listed(&server, &format!("&_as_of={before}")).await;
    assert_eq!(then, ["a.b", "second", "component.c_1"]);
    remove(&server, &dependency("second", "app", "base"))
        .await
        .refused(404, "not_found_error", "second");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = started(&["a", "b", "c"]).await;
    for (body, status, code, words) in [
        (
            dependency("x", "none", "b"),
            404,
            "not_found_error",
            "Given source deployment with ID `none` does not exist.",
        ),
        (
            dependency("x", "a", "none"),
            404,
            "not_found_error",
            "Given target deployment with ID `none` does not exist.",
        ),
        (
            json!({"dependency_creator": "x", "source_deployment": "a"}),
            404,
            "not_found_error",
            "has not been provided",
        ),
        (
            json!({"dependency_creator": "x"}),
            400,
            "bad_parameters_error",
            "source_deployment",
        ),
        (
            json!({"dependency_creator": 5, "source_deployment": "a"}),
            400,
            "bad_parameters_error",
            "",
        ),
        (dependency("x", "a", "a"), 409, "conflict_error", "Cyclic"),
    ] {
        server.put(PATH, &body).await.refused(status, code, words);
    }
    add(&server, "x", "a", "b").await;
    add(&server, "x", "b", "c").await;
    let circle = dependency("x", "c", "a");
    server.put(PATH, &circle).await.refused(
        409,
        "conflict_error",
        "Cyclic dependency between deployments `c` and `a`",
    );
    let circle = json!({"source_deployment_id": "c", "inter_deployment_dependencies": [
        {"dependency_creator": "y"}, {"dependency_creator": "x", "target_deployment": "a"}]});
    server
        .post(PATH, &circle)
        .await
        .refused(409, "conflict_error", "Cyclic");
    assert_eq!(listed(&server, "").await, ["x", "x"]);
    server.stop().await;
}

#[tokio::test]
async fn of_two_who_close_a_circle_at_once_one_is_refused() {
    let server = started(&["a", "b", "c"]).await;
    let (one, two, three) = (
        dependency("x", "a", "b"),
        dependency("x", "b", "c"),
        dependency("x", "c", "a"),
    );
    let answers = tokio::join!(
        server.put(PATH, &one),
        server.put(PATH, &two),
        server.put(PATH, &three),
    );
    let mut statuses = [answers.0, answers.1, answers.2].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 409]);
    server.stop().await;
}

#[tokio::test]
async fn several_are_recorded_and_replaced_at_once() {
    let server = started(&["a", "b", "c"]).await;
    let function = json!({"function": {"get_input": "port"}, "context": {}});
    let first = json!({"source_deployment_id": "a", "inter_deployment_dependencies": [
        {"dependency_creator": "one", "target_deployment": "b"},
        {"dependency_creator": "two", "target_deployment_func": function},
        {"dependency_creator": "three", "target_deployment": "none"},
    ]});
    let made = server.post(PATH, &first).await.expect(200);
    let pagination = json!({"total": 3, "size": 3, "offset": 0});
    assert_eq!(made["metadata"], json!({"pagination": pagination}));
    assert_eq!(made["items"].as_array().unwrap().len(), 3);
    let sorted = format!("{PATH}?_sort=-dependency_creator");
    let all = server.get(&sorted).await.expect(200);
    assert_eq!(all["items"][0]["target_deployment_func"], function);
    assert_eq!(all["items"][1]["target_deployment_id"], Value::Null);
    assert_eq!(all["items"][2]["target_deployment_id"], "b");
    add(&server, "by another", "c", "b").await;
    // when
    let others = json!({"inter_deployment_dependencies": [
        {"dependency_creator": "four", "target_deployment": "c"}]});
    let path = "deployments/a/inter-deployment-dependencies";
    server.put(path, &others).await.expect(200);
    // then
    assert_eq!(listed(&server, "").await, ["by another", "four"]);
    assert_eq!(consumers(&server, "b").await, ["c"]);
    assert_eq!(consumers(&server, "c").await, ["a"]);
    let of = |query: &'static str| {
        let server = &server;
        async move {
            let path = format!("deployments?_include=id&_sort=id&{query}");
            let listed = server.get(&path).await.expect(200);
            let items = listed["items"].as_array().unwrap();
            let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
            items.iter().map(id).collect::<Vec<_>>()
        }
    };
    assert_eq!(of("_dependencies_of=a").await, ["b", "c"]);
    assert_eq!(of("_dependencies_of=b").await, [""; 0]);
    add(&server, "component.x_1", "a", "b").await;
    assert_eq!(of("_environments_only=true").await, ["a", "c"]);
    let path = "deployments/none/inter-deployment-dependencies";
    server
        .put(path, &others)
        .await
        .refused(404, "not_found_error", "none");
    server.stop().await;
}

#[tokio::test]
async fn other_managers_have_dependencies_of_their_own() {
    let server = started(&["a"]).await;
    let far = json!({"deployment": "far", "tenant": "t", "host": ["h"]});
    let on_a = json!({"dependency_creator": "sharedresource.r_1", "source_deployment": " ",
        "target_deployment": "a", "external_source": far});
    let made = server.put(PATH, &on_a).await.expect(200);
    assert_eq!(made["source_deployment_id"], Value::Null);
    assert_eq!(made["external_source"], far);
    let abroad = json!({"dependency_creator": "component.r_2", "source_deployment": "a",
        "external_target": {"deployment": "there", "client_config": {}}});
    let made = server.put(PATH, &abroad).await.expect(200);
    assert_eq!(made["target_deployment_id"], Value::Null);
    let refused = server.delete("deployments/a").await;
    refused.refused(400, "dependent_exists_error", "in its node `r_1`");
    let other = json!({"dependency_creator": "sharedresource.r_1", "source_deployment": " ",
        "target_deployment": "a", "external_source": {"deployment": "another"}});
    remove(&server, &other)
        .await
        .refused(404, "not_found_error", "r_1");
    remove(&server, &on_a).await.expect(204);
    assert_eq!(listed(&server, "").await, ["component.r_2"]);
    server.stop().await;
}

#[tokio::test]
async fn viewers_see_dependencies_and_change_none() {
    let server = started(&["a", "b"]).await;
    add(&server, "x", "a", "b").await;
    let user = json!({"username": "vera", "password": "veravera"});
    server.put("users", &user).await.expect(201);
    let member = json!({"tenant_name": "default_tenant", "username": "vera", "role": "viewer"});
    server.put("tenants/users", &member).await.expect(200);
    let as_vera = |method: Method| {
        let request = server.anonymous(method, PATH);
        request
            .basic_auth("vera", Some("veravera"))
            .header("Tenant", "default_tenant")
    };
    let seen = server.send(as_vera(Method::GET)).await.expect(200);
    assert_eq!(seen["metadata"]["pagination"]["total"], 1);
    let body = dependency("x", "a", "b");
    for (method, permission) in [
        (Method::PUT, "inter_deployment_dependency_create"),
        (Method::DELETE, "inter_deployment_dependency_delete"),
    ] {
        let answer = server.send(as_vera(method).json(&body)).await;
        answer.refused(403, "forbidden_error", permission);
    }
    let restored = json!({"dependency_creator": "old", "source_deployment": "b",
        "target_deployment_func": {"function": "a"}, "id": "one", "visibility": "global",
        "created_at": "2026-01-02T03:04:05.678Z", "created_by": "vera"});
    let made = server.put(PATH, &restored).await.expect(200);
    for (field, expected) in [
        ("id", "one"),
        ("visibility", "global"),
        ("created_at", "2026-01-02T03:04:05.678Z"),
        ("created_by", "vera"),
    ] {
        assert_eq!(made[field], expected);
    }
    server
        .put(PATH, &restored)
        .await
        .refused(409, "conflict_error", "one");
    server.stop().await;
}
