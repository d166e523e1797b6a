//! The life of a message: bookkeeping, repetition, interruption, cancellation, shutdown.
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::broker::{testing::Line, wire::ServiceTask};

fn ok() -> Response {
    Response::Ok(Value::Null)
}

/// Appends a line to `runs`, so that a second run shows, and waits for `go`.
fn counted(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "#!/bin/sh\necho run >> {directory}/runs\n\
         while [ ! -e {directory}/go ]; do sleep 0.05; done\n"
    )
}

fn runs(directory: &Path) -> usize {
    std::fs::read_to_string(directory.join("runs"))
        .unwrap_or_default()
        .lines()
        .count()
}

async fn started(directory: &Path) {
    until(|| runs(directory) > 0).await;
}

/// Responses that are kept, of operations whose ids begin so.
fn kept(directory: &Path, id: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(id))
        .count()
}

fn go(directory: &Path) {
    std::fs::write(directory.join("go"), "").unwrap();
}

#[tokio::test]
async fn stored_operations_are_kept_up_to_date() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", "#!/bin/sh\necho a line\n");
    bench
        .stub
        .state()
        .operations
        .insert("t1".to_owned(), "sent".to_owned());
    assert_eq!(
        bench.run(&task("t1", json!({"script_path": "s.sh"}))).await,
        ok()
    );
    let states = bench.stub.state().states.clone();
    let expected = ["started", "response-sent"].map(|state| ("t1".to_owned(), state.to_owned()));
    assert_eq!(states, expected);
    // what is said comes with the end
    let told = |text: &String| text.ends_with("a line");
    assert!(bench.stub.state().logs.iter().any(told));
    let is_alone = |request: &String| request.starts_with("POST /api/v3.1/events");
    assert!(!bench.stub.state().requests.iter().any(is_alone));
    bench.end().await;
}

#[tokio::test]
async fn an_interrupted_script_is_not_run_again() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    bench
        .stub
        .state()
        .operations
        .insert("t1".to_owned(), "started".to_owned());
    let Response::Error(error) = bench.run(&task("t1", json!({"script_path": "s.sh"}))).await
    else {
        panic!("it was run again")
    };
    assert_eq!(error.known_exception_type, "NonRecoverableError");
    assert_eq!(
        error.message,
        "Cannot resume - operation not resumable: script_runner.tasks.run"
    );
    assert_eq!(runs(bench.work_dir.path()), 0);
    bench.end().await;
}

#[tokio::test]
async fn nothing_is_begun_that_cannot_be_shown_as_started() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    go(bench.work_dir.path());
    {
        let mut state = bench.stub.state();
        state.operations.insert("t1".to_owned(), "sent".to_owned());
        state.deaf_to_claims = true;
    }
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    let stub = bench.stub.clone();
    let asked = || {
        let requests = stub.state().requests.clone();
        requests.iter().filter(|r| r.starts_with("PATCH")).count() > 1
    };
    until(asked).await;
    assert_eq!(runs(bench.work_dir.path()), 0);
    bench.stub.state().deaf_to_claims = false;
    assert_eq!(bench.reply().await.1, ok());
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

#[tokio::test]
async fn nobody_is_answered_who_does_not_wait() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    go(bench.work_dir.path());
    {
        let mut state = bench.stub.state();
        state
            .executions
            .insert("cancelled".to_owned(), "cancelled".to_owned());
        state
            .operations
            .insert("done".to_owned(), "succeeded".to_owned());
    }
    {
        let mut state = bench.stub.state();
        let taken = "taken".to_owned();
        state.operations.insert(taken.clone(), "started".to_owned());
        state.taken.push(taken);
    }
    let mut cancelled = task("t1", json!({"script_path": "s.sh"}));
    cancelled.context.execution_id = Some("cancelled".to_owned());
    let mut dead = task("t2", json!({"script_path": "s.sh"}));
    dead.context.execution_token = Some("dead".to_owned());
    for task in [
        &cancelled,
        &dead,
        &task("done", json!({"script_path": "s.sh"})),
        &task("taken", json!({"script_path": "s.sh"})),
    ] {
        bench.send(task).await;
    }
    // The next answer is of the only one that was run.
    assert_eq!(
        bench.run(&task("t4", json!({"script_path": "s.sh"}))).await,
        ok()
    );
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_message_that_comes_twice_joins_the_run() {
    let Some(url) = amqp_url() else { return };
    let line = Line::to(&url, "ignored").await;
    let Some(mut bench) = Bench::with_worker_at(&line.address).await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    started(bench.work_dir.path()).await;
    line.cut();
    // A second message shows that the worker is back and has been given the first one again.
    bench.script("quick.sh", "#!/bin/sh\nctx returns quick\n");
    assert_eq!(
        bench
            .run(&task("t2", json!({"script_path": "quick.sh"})))
            .await,
        Response::Ok(json!("quick"))
    );
    go(bench.work_dir.path());
    let (id, response) = bench.reply().await;
    assert_eq!((id.as_str(), response), ("t1", ok()));
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_response_survives_the_loss_of_the_broker() {
    let Some(url) = amqp_url() else { return };
    let line = Line::to(&url, "ignored").await;
    let Some(mut bench) = Bench::with_worker_at(&line.address).await else {
        return;
    };
    bench.script(
        "s.sh",
        &format!("{}ctx returns kept\n", counted(bench.work_dir.path())),
    );
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    started(bench.work_dir.path()).await;
    line.block();
    go(bench.work_dir.path());
    let unsent = bench.work_dir.path().join("outcomes");
    until(|| kept(&unsent, "t1") == 1).await;
    line.unblock();
    assert_eq!(
        bench.reply().await,
        ("t1".to_owned(), Response::Ok(json!("kept")))
    );
    until(|| kept(&unsent, "t1") == 0).await;
    assert_eq!(kept(&unsent.join("sent"), "t1"), 1);
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

/// A message that comes after its response was sent, and before anybody has noted that: as when the
/// sender was restarted.
#[tokio::test]
async fn a_kept_response_is_sent_instead_of_running_again() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let content = format!("{}ctx returns \"$$\"\n", counted(bench.work_dir.path()));
    bench.script("s.sh", &content);
    go(bench.work_dir.path());
    let state = |state: &str| ("t1".to_owned(), state.to_owned());
    bench.stub.state().operations.extend([state("sent")]);
    let once = task("t1", json!({"script_path": "s.sh"}));
    let first = bench.run(&once).await;
    let sent = bench.work_dir.path().join("outcomes/sent");
    until(|| kept(&sent, "t1") == 1).await;
    bench
        .stub
        .state()
        .operations
        .extend([state("response-sent")]);
    assert_eq!(bench.run(&once).await, first);
    bench.stop_worker().await;
    bench.start_worker();
    assert_eq!(bench.run(&once).await, first);
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

/// An execution was cancelled while its operation waited for a worker, and then resumed: the same
/// operation waits twice, and only the later message has a token that is worth something.
#[tokio::test]
async fn a_dead_message_does_not_take_a_living_one_with_it() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    go(bench.work_dir.path());
    bench.stop_worker().await;
    let living = task("t1", json!({"script_path": "s.sh"}));
    let mut dead = living.clone();
    dead.context.execution_token = Some("dead".to_owned());
    bench.send(&dead).await;
    bench.send(&living).await;
    bench.start_worker();
    assert_eq!(bench.reply().await, ("t1".to_owned(), ok()));
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}

#[tokio::test]
async fn cancelling_kills_without_an_answer() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    started(bench.work_dir.path()).await;
    let body = ServiceTask::cancel_operation("e1").to_body();
    let message = Message::json("cloudify-mgmtworker-service", "service", &body).unwrap();
    bench.requester.publish(&message.mandatory()).await.unwrap();
    bench.script("quick.sh", "#!/bin/sh\n");
    let mut next = task("t2", json!({"script_path": "quick.sh"}));
    next.context.execution_id = Some("e2".to_owned());
    bench
        .stub
        .state()
        .executions
        .insert("e2".to_owned(), "started".to_owned());
    assert_eq!(bench.run(&next).await, ok());
    // The end of the bench checks that the killed one's message is gone.
    bench.end().await;
}

#[tokio::test]
async fn pings_are_answered() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let body = ServiceTask::ping().to_body();
    let message = Message::json("cloudify-mgmtworker-service", "service", &body).unwrap();
    let message = message
        .reply_to(REPLIES)
        .correlation_id("p1")
        .expiration_ms(29_800);
    let mut state = bench.requester.state();
    timeout(PATIENCE, state.wait_for(|state| state.is_up()))
        .await
        .unwrap()
        .unwrap();
    bench.requester.publish(&message.mandatory()).await.unwrap();
    let (id, answer) = bench.reply().await;
    let Response::Ok(answer) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(id, "p1");
    assert!(answer["time"].as_f64().unwrap() > 1.5e9, "{answer}");
    bench.end().await;
}

#[tokio::test]
async fn what_is_no_operation_is_answered_and_gone() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    let mut state = bench.requester.state();
    timeout(PATIENCE, state.wait_for(|state| state.is_up()))
        .await
        .unwrap()
        .unwrap();
    for body in [json!({"cloudify_task": {}}), json!("?")] {
        let message = Message::json("cloudify.management", "operation", &body).unwrap();
        let message = message.reply_to(REPLIES).correlation_id("x");
        bench.requester.publish(&message.mandatory()).await.unwrap();
        let (_, response) = bench.reply().await;
        assert!(matches!(response, Response::Error(_)));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_silent_manager_is_asked_again() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", "#!/bin/sh\nctx returns ok\n");
    bench.stub.state().failures = 2;
    let response = bench.run(&task("t1", json!({"script_path": "s.sh"}))).await;
    assert_eq!(response, Response::Ok(json!("ok")));
    bench.end().await;
}

#[tokio::test]
async fn shutting_down_waits_for_what_runs() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    started(bench.work_dir.path()).await;
    bench.stop_worker.cancel();
    go(bench.work_dir.path());
    assert_eq!(bench.reply().await, ("t1".to_owned(), ok()));
    bench.stop_worker().await;
    bench.start_worker();
    bench.end().await;
}

#[tokio::test]
async fn what_takes_too_long_to_end_is_reported_by_the_next_worker() {
    let Some(mut bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", &counted(bench.work_dir.path()));
    bench
        .stub
        .state()
        .operations
        .insert("t1".to_owned(), "sent".to_owned());
    bench.stop_worker().await;
    bench.options.drain_ms = 50;
    bench.start_worker();
    bench
        .send(&task("t1", json!({"script_path": "s.sh"})))
        .await;
    started(bench.work_dir.path()).await;
    bench.stop_worker().await;
    bench.start_worker();
    let (id, response) = bench.reply().await;
    let Response::Error(error) = response else {
        panic!("{response:?}")
    };
    assert_eq!(id, "t1");
    assert!(
        error.message.starts_with("Cannot resume"),
        "{}",
        error.message
    );
    assert_eq!(runs(bench.work_dir.path()), 1);
    bench.end().await;
}
