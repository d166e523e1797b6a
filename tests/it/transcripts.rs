//! Recorded requests of the real command line, sent again: the same statuses, error codes, fields
//! and types come back. The recordings lie beside the checkout (`../shared`) or where
//! `STRATALOG_SHARED` says; without them there is nothing to send.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{
    env, execution_token,
    manager::{Manager, until},
    server::TestServer,
};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/transcripts");

fn conformance() -> PathBuf {
    env::shared().join("conformance")
}

/// The recorded exchanges, where there are any.
fn recordings() -> Option<PathBuf> {
    let recordings = conformance().join("transcripts");
    if !recordings.is_dir() {
        eprintln!(
            "{} is absent: no recordings to replay",
            recordings.display()
        );
        return None;
    }
    Some(recordings)
}

/// A script of this folder over the recordings, against a manager at `url`.
fn replaying(script: &str, url: &str, recordings: &Path) -> Command {
    let mut replay = Command::new(env::python());
    replay
        .env(
            "STRATALOG_CREDENTIALS",
            format!("admin:{}", Manager::PASSWORD),
        )
        .arg(format!("{DATA}/{script}"))
        .arg(url)
        .arg(recordings)
        .arg(conformance().join("cfy/demo"))
        .arg(format!("{DATA}/known_differences.tsv"));
    replay
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_are_answered_as_they_were() {
    let Some(recordings) = recordings() else {
        return;
    };
    let manager = Manager::new().await;
    // its parts are connected a moment later
    until(async || manager.get("status").await["status"] == "OK").await;
    let mut replay = replaying("replay.py", &manager.url(), &recordings);
    let output = tokio::task::spawn_blocking(move || replay.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{trouble}");
    manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_workers_are_answered_as_they_were() {
    let Some(recordings) = recordings() else {
        return;
    };
    let server = TestServer::start_with(|settings| settings.run_executions = false).await;
    let url = format!("http://{}", server.running.addr);
    let mut replay = replaying("worker.py", &url, &recordings);
    replay.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut replay = tokio::process::Command::from(replay).spawn().unwrap();
    let mut answers = replay.stdin.take().unwrap();
    let mut lines = BufReader::new(replay.stdout.take().unwrap()).lines();
    let mut told = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        match line.strip_prefix("token ") {
            Some(id) => {
                let token = execution_token(&server.running.ctx, "default_tenant", id).await;
                let line = token + "\n";
                answers.write_all(line.as_bytes()).await.unwrap();
            }
            None => told.extend([&line, "\n"]),
        }
    }
    assert!(replay.wait().await.unwrap().success(), "{told}");
    server.stop().await;
}
