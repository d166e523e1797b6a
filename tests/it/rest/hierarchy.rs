//! Environments and the services in them.
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::server::TestServer;

async fn labelled(server: &TestServer, id: &str, labels: Value) -> crate::support::server::Answer {
    let body = json!({"labels": labels});
    server.patch(&format!("deployments/{id}"), &body).await
}

async fn below(server: &TestServer, id: &str, query: &str) -> [Value; 4] {
    let found = server
        .get(&format!("deployments/{id}{query}"))
        .await
        .expect(200);
    [
        "sub_environments_count",
        "sub_environments_status",
        "sub_services_count",
        "sub_services_status",
    ]
    .map(|field| found[field].clone())
}

#[tokio::test]
async fn an_environment_knows_what_is_below_it() {
    let server = TestServer::start().await;
    blueprint(&server, "bp").await;
    for id in ["top", "middle", "service", "other"] {
        deployment(&server, "bp", id).await;
    }
    let environment = json!({"csys-obj-type": "environment"});
    labelled(&server, "top", json!([environment]))
        .await
        .expect(200);
    labelled(
        &server,
        "middle",
        json!([environment, {"csys-obj-parent": "top"}]),
    )
    .await
    .expect(200);
    for id in ["service", "other"] {
        labelled(&server, id, json!([{"csys-obj-parent": "middle"}]))
            .await
            .expect(200);
    }
    let before = server.get("deployments/top").await;
    let bad = json!("requires_attention");
    assert_eq!(
        below(&server, "top", "").await,
        [json!(1), bad.clone(), json!(2), bad.clone()]
    );
    let children = below(&server, "top", "?all_sub_deployments=false").await;
    assert_eq!(children, [json!(1), bad.clone(), json!(0), Value::Null]);
    let middle = server.get("deployments/middle").await.expect(200);
    let consumers: Vec<&Value> = middle["labels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|label| label["key"] == "csys-consumer-id")
        .map(|label| &label["value"])
        .collect();
    assert_eq!(consumers, ["service", "other"]);
    assert_eq!(middle["has_sub_deployments"], true);

    // nothing may be above itself
    labelled(
        &server,
        "top",
        json!([environment, {"csys-obj-parent": "middle"}]),
    )
    .await
    .refused(409, "conflict_error", "cycle");
    labelled(&server, "top", json!([{"csys-obj-parent": "nobody"}]))
        .await
        .refused(404, "deployment_parent_not_found_error", "nobody");

    // what leaves is not counted any more
    labelled(&server, "other", json!([])).await.expect(200);
    assert_eq!(below(&server, "top", "").await[2], json!(1));
    let middle = server.get("deployments/middle").await.expect(200);
    let labels = middle["labels"].to_string();
    assert!(
        labels.contains("service") && !labels.contains("other"),
        "{labels}"
    );

    // as it was then
    let then = format!("?_as_of={}", before.position());
    assert_eq!(below(&server, "top", &then).await[2], json!(2));
    server.stop().await;
}
