//! The client's library, method by method: each is called on a manager with something on it, and
//! comes to what it comes to with the reference. Together the calls exercise all of the API.
use std::process::Command;

use super::coverage;
use crate::support::{
    env,
    manager::{Manager, until},
};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/rest/client");

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_the_client_gets_what_it_expects_and_all_of_the_api_is_asked() {
    let manager = Manager::new().await;
    // its parts are connected a moment later
    until(async || manager.get("status").await["status"] == "OK").await;
    let mut calls = Command::new(env::python());
    calls
        .env(
            "STRATALOG_CREDENTIALS",
            format!("admin:{}", Manager::PASSWORD),
        )
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(format!("{DATA}/run.py"))
        .arg(manager.url())
        .arg(format!("{DATA}/known_differences.tsv"));
    let output = tokio::task::spawn_blocking(move || calls.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let (asked, rest): (Vec<&str>, Vec<&str>) =
        told.lines().partition(|line| line.starts_with("HIT "));
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{trouble}", rest.join("\n"));
    let asked = asked.iter().map(|line| {
        let (method, path) = line["HIT ".len()..].split_once(' ').unwrap();
        (method, path)
    });
    let (status, document) = manager.call("GET", "/openapi.json", None).await;
    assert_eq!(status, 200, "{document}");
    coverage::all_is_asked(&document, asked);
    manager.stop().await;
}
