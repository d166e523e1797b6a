//! Two managers over one database and one broker, both of which run executions.
use serde_json::json;
use stratalog::{
    error::Error,
    store::{Decision, Fence},
};
use stratalog_schema::{Category, Event, Meta, StreamId, events::ExecutorChanged};

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

/// Who runs executions has announced it; whoever did so before is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_ends_with_the_next_ones_beginning() {
    let manager = Manager::new().await;
    let other = manager.beside().await;
    manager.deploy("d", &[("blueprint.yaml", PLAIN)]).await;
    let of = StreamId::global(Category::Executor, "executor");
    let stale = Fence::new(of, 0);
    let ctx = manager.context();
    let before = manager.position().await;
    let meta = Meta::system();
    let decided = stale.apply(ctx.store.command(&meta, None, async |_| {
        let mut decision = Decision::nothing();
        let of = StreamId::global(Category::Executor, "nobody");
        let event = ExecutorChanged::default();
        decision.event(of, Event::ExecutorChanged(event));
        Ok((decision, ()))
    }));
    let refused = decided.await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    assert_eq!(manager.position().await, before);

    // the other one takes over from a manager that goes
    let manager = manager.replaced_by(other).await;
    let execution = manager.run("d", "install", json!({})).await;
    assert_eq!(execution["status"], "terminated", "{execution}");
    manager.stop().await;
}
