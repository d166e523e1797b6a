//! What the benchmarks of running parts share: a database of their own, and whether
//! to measure at all.
#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::env;

use tokio_postgres::NoTls;
use uuid::Uuid;

/// Whether figures are wanted; otherwise (`cargo test --benches`) everything runs once and briefly.
pub(crate) fn is_measured() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// A variable that `cargo xtask bench` sets.
pub(crate) fn variable(name: &str) -> String {
    env::var(name).expect("`cargo xtask bench` sets what benchmarks need")
}

/// Makes an empty database in the cluster of the benchmarks; its URL.
pub(crate) async fn database() -> String {
    let cluster = variable("STRATALOG_TEST_DATABASE_URL");
    let (client, connection) = tokio_postgres::connect(&cluster, NoTls).await.unwrap();
    #[allow(clippy::disallowed_methods, reason = "benchmarks own no task tracker")]
    tokio::spawn(connection);
    let name = format!("bench_{}", Uuid::now_v7().simple());
    let statement = format!("CREATE DATABASE {name}");
    client.batch_execute(&statement).await.unwrap();
    let mut url = url::Url::parse(&cluster).unwrap();
    url.set_path(&name);
    url.into()
}
