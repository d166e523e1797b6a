//! Deployments that go although their agents are still there.
use super::{deployed, installed, there};
use crate::support::{
    agents::NativeAgent,
    manager::{Manager, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_deletion_leaves_nothing_of_agents_behind() {
    let manager = Manager::with_agents(|_| {}).await;
    let name = deployed(&manager).await;
    let mut agent = NativeAgent::start(&manager, &name).await;
    installed(&manager, &name).await;
    let vhost = format!("rabbitmq_vhost_{}", manager.tenant());
    let left = [
        format!("users/rabbitmq_user_{}_{name}", manager.tenant()),
        format!("exchanges/{vhost}/{name}"),
        format!("queues/{vhost}/{name}_operation"),
        format!("queues/{vhost}/{name}_service"),
    ];
    for path in &left {
        assert!(there(path).await, "{path}");
    }
    let path = "deployments/hosted";
    let (status, refused) = manager.call("DELETE", path, None).await;
    assert_eq!(status, 400, "{refused}");
    assert!(there(&left[0]).await);

    let forced = format!("{path}?force=true");
    let (status, answer) = manager.call("DELETE", &forced, None).await;
    assert_eq!(status, 204, "{answer}");
    until(async || manager.call("GET", path, None).await.0 == 404).await;
    for path in &left {
        assert!(!there(path).await, "{path}");
    }
    assert_eq!(manager.list("agents").await.len(), 0);
    agent.terminate();
    manager.stop().await;
}
