//! One message gets an operation, whoever else asks for it.
use serde_json::{Value, json};

use super::PLAIN;
use crate::support::manager::Manager;

const RIVALS: usize = 12;

async fn claim(manager: &Manager, (token, message, run): (&str, &str, &str)) -> (u16, Value) {
    let claim = json!({"token": token, "message": message, "run": run});
    let body = json!({"state": "started", "manager_name": "m", "claim": claim});
    let (status, answer) = manager.call("PATCH", "operations/o1", Some(body)).await;
    (status, answer["resumes"].clone())
}

async fn report(manager: &Manager, state: &str) {
    let body = json!({"state": state});
    let (status, answer) = manager.call("PATCH", "operations/o1", Some(body)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_gets_an_operation() {
    let manager = Manager::new().await;
    manager.deploy("d", &[("blueprint.yaml", PLAIN)]).await;
    let executions = manager.list("executions?deployment_id=d").await;
    let operation = json!({
        "id": "o1", "name": "n", "type": "RemoteWorkflowTask", "dependencies": [],
        "parameters": {}, "state": "sent",
    });
    let graph = json!({
        "graph_id": "g1", "execution_id": executions[0]["id"], "name": "g",
        "operations": [operation],
    });
    let path = "tasks_graphs/tasks_graphs";
    let (status, answer) = manager.call("POST", path, Some(graph)).await;
    assert_eq!(status, 201, "{answer}");

    let messages: Vec<String> = (0..RIVALS).map(|nth| format!("m{nth}")).collect();
    let all = messages
        .iter()
        .map(|message| claim(&manager, ("t", message, message)));
    let answers = futures::future::join_all(all).await;
    let won: Vec<usize> = (0..RIVALS).filter(|nth| answers[*nth].0 == 200).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status, 200 | 409))
    );
    let own = messages[won[0]].as_str();
    assert_eq!(answers[won[0]].1, false);

    // an answer may be lost
    assert_eq!(claim(&manager, ("t", own, own)).await, (200, json!(false)));
    assert_eq!(claim(&manager, ("t", "another", "r")).await.0, 409);
    // the message came again: whoever had it is gone
    assert_eq!(claim(&manager, ("t", own, "r2")).await, (200, json!(true)));
    // the execution was resumed, and has another token
    let resumed = ("t2", "another", "r");
    assert_eq!(claim(&manager, resumed).await, (200, json!(true)));
    assert_eq!(claim(&manager, ("t2", own, own)).await.0, 409);
    report(&manager, "sent").await;
    let anew = ("t2", "third", "r");
    assert_eq!(claim(&manager, anew).await, (200, json!(false)));
    report(&manager, "succeeded").await;
    assert_eq!(claim(&manager, anew).await.0, 409);

    let path = "operations/o1";
    let wrong = json!({"state": "started", "claim": {"token": "t"}});
    assert_eq!(manager.call("PATCH", path, Some(wrong)).await.0, 400);
    let wrong = json!({"state": "failed", "claim": {"token": "t", "message": "m", "run": "r"}});
    assert_eq!(manager.call("PATCH", path, Some(wrong)).await.0, 400);
    manager.stop().await;
}
