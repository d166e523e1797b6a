//! What an execution says comes with the end of its operation.
use reqwest::Method;
use serde_json::{Value, json};

use super::{blueprint, deployment};
use crate::support::{
    execution_token,
    server::{Answer, TestServer},
};

const OPERATION: &str = "operations/o1";

/// Sends a state of the operation by somebody who executes.
async fn report(server: &TestServer, token: &str, body: &Value) -> Answer {
    let request = server.anonymous(Method::PATCH, OPERATION);
    let request = request.header("Execution-Token", token);
    server.send(request.json(body)).await
}

/// A line of a log and an event.
fn words() -> Value {
    let message = |text: &str| json!({"text": text});
    json!({
        "logs": [{"context": {}, "logger": "ctx.o1", "level": "info", "event_id": "l1",
                  "message": message("a line")}],
        "events": [{"context": {}, "event_type": "plugin_event", "event_id": "e1",
                    "message": message("an event")}],
        "manager_name": "m",
    })
}

/// All that was told of an execution, as it came.
async fn told(server: &TestServer, execution: &str) -> Vec<String> {
    let path = format!("events?execution_id={execution}");
    let events = server.get(&path).await.expect(200);
    let items = events["items"].as_array().unwrap().iter();
    let text = |item: &Value| item["message"].as_str().unwrap().to_owned();
    items.map(text).collect()
}

async fn state(server: &TestServer) -> Value {
    server.get(OPERATION).await.expect(200)["state"].clone()
}

/// A server with executions that nobody runs, `own` with the operation `o1`; their tokens.
async fn executing() -> (TestServer, [String; 2]) {
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    blueprint(&server, "bp").await;
    deployment(&server, "bp", "dep").await;
    let mut tokens = [const { String::new() }; 2];
    for (token, id) in tokens.iter_mut().zip(["own", "other"]) {
        let begun = json!({"deployment_id": "dep", "workflow_id": "install", "id": id,
            "force_status": "started"});
        server.post("executions", &begun).await.expect(201);
        *token = execution_token(&server.running.ctx, "default_tenant", id).await;
    }
    let operation = json!({"id": "o1", "name": "n", "type": "RemoteWorkflowTask",
        "dependencies": [], "parameters": {}, "state": "sent"});
    let graph = json!({"graph_id": "g1", "execution_id": "own", "name": "g",
        "operations": [operation]});
    let path = "tasks_graphs/tasks_graphs";
    server.post(path, &graph).await.expect(201);
    (server, tokens)
}

#[tokio::test]
async fn an_operation_ends_with_the_last_words() {
    let (server, [own, _]) = executing().await;
    let begun = json!({"state": "started"});
    report(&server, &own, &begun).await.expect(200);
    let before = told(&server, "own").await;
    let ended = json!({"state": "response-sent", "said": words()});
    let answer = report(&server, &own, &ended).await;
    answer.expect(200);
    assert_eq!(state(&server).await, "response-sent");
    let after = told(&server, "own").await;
    let new: Vec<_> = after.iter().filter(|text| !before.contains(text)).collect();
    assert_eq!(new, ["an event", "a line"]);
    // the answer may have been lost
    report(&server, &own, &ended).await.expect(200);
    assert_eq!(told(&server, "own").await, after);
    // what has an effect on others is decided in another way
    let more = json!({"logs": [{"context": {}, "logger": "l", "level": "info",
        "message": {"text": "one more"}}]});
    let succeeded = json!({"state": "succeeded", "said": more});
    report(&server, &own, &succeeded).await.expect(200);
    assert_eq!(state(&server).await, "succeeded");
    assert!(told(&server, "own").await.contains(&"one more".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn nobody_speaks_for_another_execution() {
    let (server, [own, other]) = executing().await;
    let said = |state: &str| json!({"state": state, "said": words()});
    let mut claiming = said("started");
    claiming["claim"] = json!({"token": "t", "message": "m", "run": "r"});
    let mut mute = said("response-sent");
    mute["said"]["logs"][0] = json!({"context": {}});
    let position = server.position();
    for (token, body, words) in [
        (&other, said("response-sent"), "another execution's"),
        (&other, said("succeeded"), "another execution's"),
        (&own, claiming, "not with a claim"),
        (&own, mute, "Missing"),
    ] {
        let answer = report(&server, token, &body).await;
        answer.refused(400, "bad_parameters_error", words);
    }
    let answer = server.patch(OPERATION, &said("response-sent")).await;
    answer.refused(400, "bad_parameters_error", "only by an execution");
    assert_eq!(server.position(), position);
    assert_eq!(state(&server).await, "sent");
    assert!(told(&server, "own").await.is_empty());
    server.stop().await;
}
