//! Two managers over one database and one broker, both of which run executions.
use super::PLAIN;
use crate::support::manager::Manager;

const ROUNDS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_made_once() {
    let manager = Manager::new().await;
    let other = manager.beside().await;
    for round in 0..ROUNDS {
        let id = format!("d{round}");
        manager.deploy(&id, &[("blueprint.yaml", PLAIN)]).await;
        let of_it = |what: &str| format!("{what}?deployment_id={id}");
        assert_eq!(manager.list(&of_it("nodes")).await.len(), 2);
        assert_eq!(manager.list(&of_it("node-instances")).await.len(), 101);
    }
    other.stop().await;
    manager.stop().await;
}
