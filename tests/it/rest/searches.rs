//! `/searches` with rules and constraints.
use serde_json::{Value, json};

use super::{EMPTY_ZIP, blueprint, deployment, instances};
use crate::support::server::TestServer;

async fn server() -> TestServer {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    deployment(&server, "bp", "other").await;
    instances(&server, "dep", &["db_1", "db_2"]).await;
    server
}

fn named(body: &Value, member: &str) -> Vec<String> {
    let items = body["items"].as_array().unwrap().iter();
    items
        .map(|item| item[member].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn deployments_are_found_by_constraints() {
    let server = server().await;
    for (constraints, expected) in [
        (json!({"name_pattern": {"starts_with": "de"}}), vec!["dep"]),
        (json!({"valid_values": ["other", "nosuch"]}), vec!["other"]),
        (json!({"labels": [{"env": "prod"}]}), vec!["dep", "other"]),
        (json!({"labels": [{"env": "test"}]}), vec![]),
        (json!({"tenants": ["elsewhere"]}), vec![]),
        (
            json!({"blueprint_id": "bp", "deployment_id": "dep"}),
            vec!["dep"],
        ),
    ] {
        let body = json!({"constraints": constraints});
        let found = server.post("searches/deployments?_sort=id", &body).await;
        let found = found.expect(200);
        assert_eq!(named(&found, "id"), expected, "{body}");
        let filtered = 2 - i64::try_from(expected.len()).unwrap();
        assert_eq!(found["metadata"]["filtered"], filtered, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn nodes_types_and_instances_are_found() {
    let server = server().await;
    let within = |constraints: Value| json!({"constraints": constraints});
    let db = within(json!({"deployment_id": "dep", "valid_values": ["db"]}));
    let found = server.post("searches/nodes", &db).await.expect(200);
    assert_eq!(named(&found, "id"), ["db"]);
    assert_eq!(found["items"][0]["actual_number_of_instances"], 2);
    let web = json!({"constraints": {"name_pattern": {"contains": "Web"}}});
    let types = "searches/node-types?deployment_id=dep";
    let none = server.post(types, &web).await.expect(200);
    assert_eq!(named(&none, "id"), [""; 0]);
    assert_eq!(none["metadata"]["filtered"], 1);
    let types = server
        .post(&format!("{types}&_search=t.d"), &json!({}))
        .await;
    assert_eq!(named(&types.expect(200), "type"), ["t.Db"]);
    let second = within(json!({"deployment_id": "dep", "name_pattern": {"ends_with": "2"}}));
    let found = server.post("searches/node-instances", &second).await;
    assert_eq!(named(&found.expect(200), "id"), ["db_2"]);
    let planned = server
        .post("searches/nodes?blueprint_id=bp", &json!({}))
        .await;
    assert_eq!(planned.expect(200)["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn capabilities_and_workflows_are_found() {
    let server = server().await;
    let body = json!({"constraints": {"deployment_id": "dep", "valid_values": ["c"]}});
    let found = server
        .post("searches/capabilities", &body)
        .await
        .expect(200);
    assert_eq!(
        found["items"],
        json!([{"deployment_id": "dep", "capabilities": [{"plain": {"value": "c"}}]}])
    );
    let none = json!({"constraints": {"deployment_id": "dep", "valid_values": ["d"]}});
    let none = server
        .post("searches/capabilities", &none)
        .await
        .expect(200);
    assert_eq!(
        none["metadata"],
        json!({
        "pagination": {"total": 0, "size": 1000, "offset": 0}, "filtered": 1})
    );
    let common = server
        .post("searches/workflows?_common_only=true", &json!({}))
        .await;
    assert_eq!(named(&common.expect(200), "name"), ["install"]);
    // one of another blueprint has other workflows
    blueprint(&server, "bp2").await;
    let body = json!({"blueprint_id": "bp2", "workdir_zip": EMPTY_ZIP, "inputs": {"port": 1},
        "workflows": {"mend": {"plugin": "default_workflows", "operation": "x"}}});
    server.put("deployments/apart", &body).await.expect(201);
    for (path, expected) in [
        ("searches/workflows", vec!["install", "mend"]),
        ("searches/workflows?_common_only=true", vec![]),
        ("searches/workflows?_size=1&_offset=1", vec!["mend"]),
    ] {
        let found = server.post(path, &json!({})).await.expect(200);
        assert_eq!(named(&found, "name"), expected, "{path}");
    }
    let groups = "searches/scaling-groups?deployment_id=dep";
    let groups = server.post(groups, &json!({})).await.expect(200);
    assert_eq!(groups["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_makes_no_search_is_refused() {
    let server = server().await;
    let both = json!({"constraints": {"valid_values": ["dep"]}, "filter_rules": []});
    for (path, body) in [
        ("searches/deployments", both),
        (
            "searches/deployments",
            json!({"constraints": {"nosuch": 1}}),
        ),
        ("searches/nodes", json!({})),
        (
            "searches/nodes?deployment_id=dep&blueprint_id=bp",
            json!({}),
        ),
        ("searches/node-types", json!({"constraints": {}})),
        ("searches/node-instances", json!({"constraints": {}})),
        ("searches/capabilities", json!({})),
        ("searches/scaling-groups", json!({})),
        (
            "searches/workflows",
            json!({"constraints": {"name_pattern": 1}}),
        ),
        ("searches/deployments", json!({"constraints": []})),
    ] {
        let answer = server.post(path, &body).await;
        assert_eq!(answer.status.as_u16(), 400, "{path} {body}");
    }
    let label = json!({"key": "a", "values": ["b"], "operator": "any_of", "type": "label"});
    let body = json!({"filter_rules": [label]});
    let answer = server.post("searches/nodes?deployment_id=dep", &body).await;
    answer.refused(400, "invalid_filter_rule", "no labels");
    server.stop().await;
}
