//! The other end of the wire, in the library's own client, and the worker of a host.
use std::{path::Path, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use super::*;
use crate::broker::{Tenants, wire::ServiceTask};

const QUEUE: &str = "host_1";

/// Asks for an operation as the library does, and gives the answer it got.
async fn asked(bench: &Bench, exchange: &str, task: &Task) -> Value {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/agents/peer.py");
    let mut url = url::Url::parse(&bench.broker_url).unwrap();
    url.set_path(&tenant_vhost(&bench.tenant));
    let mut child = Command::new(&bench.options.python)
        .arg(peer)
        .args(["ask", url.as_str(), exchange])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let body = OperationTask::body(&task.context, &task.inputs).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(body.to_string().as_bytes()).await.unwrap();
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap();
    serde_json::from_slice(&output.unwrap().stdout).unwrap()
}

/// A bench whose worker is the one of a host.
async fn host() -> Option<Bench> {
    let mut bench = Bench::start().await?;
    bench.stop_worker().await;
    bench.options.role = Role::Agent {
        queue: QUEUE.to_owned(),
        settings: None,
    };
    bench.options.name = QUEUE.to_owned();
    // a message that comes before the worker waits
    let queues = topology::agent(QUEUE);
    bench.requester.declare(&queues).await.unwrap();
    bench.start_worker();
    Some(bench)
}

fn said(name: &str) -> Value {
    json!({"script_path": name})
}

#[tokio::test]
async fn a_worker_runs_what_the_librarys_client_asks_for() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    bench.script("s.sh", "#!/bin/sh\nctx returns \"by $MANAGER_NAME\"\n");
    let answer = asked(&bench, "cloudify.management", &task("t1", said("s.sh"))).await;
    assert_eq!(answer, json!({"ok": true, "result": "by test"}));
    let mut failing = task("t2", said("f.sh"));
    failing.context.operation.max_retries = 0;
    bench.script("f.sh", "#!/bin/sh\nctx abort-operation never\n");
    let answer = asked(&bench, "cloudify.management", &failing).await;
    assert_eq!(
        answer["error"]["known_exception_type"],
        "NonRecoverableError"
    );
    bench.end().await;
}

#[tokio::test]
async fn a_host_runs_what_is_sent_to_it_and_answers_pings() {
    let Some(bench) = host().await else {
        return;
    };
    bench.script("s.sh", "#!/bin/sh\nctx returns \"by $AGENT_NAME\"\n");
    let answer = asked(&bench, QUEUE, &task("t1", said("s.sh"))).await;
    assert_eq!(answer, json!({"ok": true, "result": format!("by {QUEUE}")}));
    let tenants = Tenants::new(
        broker::Options::new(&bench.broker_url, "asker"),
        bench.cancel.clone(),
    );
    let peer = tenants.of(&bench.tenant);
    let mut state = peer.broker().state();
    timeout(PATIENCE, state.wait_for(|state| state.is_up()))
        .await
        .unwrap()
        .unwrap();
    peer.ping(QUEUE, PATIENCE).await.unwrap();
    assert!(peer.silence_of(QUEUE) < PATIENCE);
    let silent = peer.ping("nobody", PATIENCE).await.unwrap_err();
    assert!(matches!(silent, broker::AskError::Nobody(_)), "{silent}");
    let odd = ServiceTask::new("what-is-this", Map::new()).to_body();
    let answer = peer.ask((QUEUE, "service"), &odd, PATIENCE).await.unwrap();
    assert_eq!(answer, Value::Null);
    bench.end().await;
}

#[tokio::test]
async fn a_host_that_is_asked_to_end_or_to_start_again_answers_and_ends() {
    let Some(mut bench) = host().await else {
        return;
    };
    drop(bench.prepare());
    let asks = [("restart", Ending::Renewed), ("stop", Ending::Asked)];
    for (name, expected) in asks {
        let mut task = task(name, json!({}));
        task.context.task_name = format!("cloudify_agent.operations.{name}");
        let answer = asked(&bench, QUEUE, &task).await;
        assert_eq!(answer["ok"], true);
        let ended = timeout(PATIENCE, bench.worker.take().unwrap())
            .await
            .unwrap();
        assert_eq!(ended.unwrap().unwrap(), expected);
        bench.start_worker();
    }
    bench.end().await;
}
