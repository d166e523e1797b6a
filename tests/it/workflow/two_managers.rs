//! Two managers over one database and one broker, both of which run executions.
use serde_json::json;

use super::PLAIN;
use crate::support::manager::Manager;

/// Deployments made at once: both managers are late for some of them.
const DEPLOYMENTS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_made_once() {
    let manager = Manager::new().await;
    manager.upload("plain", &[("blueprint.yaml", PLAIN)]).await;
    let other = manager.beside().await;
    let made = (0..DEPLOYMENTS).map(async |nth| {
        let path = format!("deployments/d{nth}");
        let body = json!({"blueprint_id": "plain"});
        let (status, deployment) = manager.call("PUT", &path, Some(body)).await;
        assert_eq!(status, 201, "{deployment}");
        let execution = deployment["create_execution"].as_str().unwrap();
        assert_eq!(manager.end(execution).await["status"], "terminated");
        let of_it = |what: &str| format!("{what}?deployment_id=d{nth}");
        assert_eq!(manager.list(&of_it("nodes")).await.len(), 2);
        assert_eq!(manager.list(&of_it("node-instances")).await.len(), 101);
    });
    futures::future::join_all(made).await;
    other.stop().await;
    manager.stop().await;
}
