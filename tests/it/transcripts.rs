//! Recorded requests of the real command line, sent again: the same statuses, error codes, fields
//! and types come back. The recordings lie beside the checkout (`../shared`) or where
//! `STRATALOG_SHARED` says; without them there is nothing to send.

use std::{path::PathBuf, process::Command};

use crate::support::{env, manager::Manager};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/transcripts");

fn conformance() -> PathBuf {
    env::shared().join("conformance")
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_requests_are_answered_as_they_were() {
    let conformance = conformance();
    let recordings = conformance.join("transcripts");
    if !recordings.is_dir() {
        eprintln!(
            "{} is absent: no recordings to replay",
            recordings.display()
        );
        return;
    }
    let manager = Manager::new().await;
    let mut replay = Command::new(env::python());
    replay
        .env(
            "STRATALOG_CREDENTIALS",
            format!("admin:{}", Manager::PASSWORD),
        )
        .arg(format!("{DATA}/replay.py"))
        .arg(manager.url())
        .arg(&recordings)
        .arg(conformance.join("cfy/demo"))
        .arg(format!("{DATA}/known_differences.tsv"));
    let output = tokio::task::spawn_blocking(move || replay.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{trouble}");
    manager.stop().await;
}
