//! What the benchmarks of running parts share: a database of their own, and whether
//! to measure at all.
#![allow(clippy::print_stdout, reason = "figures are what a benchmark is for")]

use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};

use stratalog::config::{Hidden, Settings};
use stratalog_schema::events::Scope;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// Whether figures are wanted; otherwise (`cargo test --benches`) everything runs once and briefly.
pub(crate) fn is_measured() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// Whether a measurement is wanted: all are, unless parts of names are given.
#[allow(dead_code, reason = "not every benchmark has several measurements")]
pub(crate) fn is_wanted(name: &str) -> bool {
    let mut named = env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    match named.next() {
        None => true,
        Some(first) => name.contains(&first) || named.any(|part| name.contains(&part)),
    }
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

/// Password of the administrator.
#[allow(dead_code, reason = "not every benchmark has a manager")]
pub(crate) const PASSWORD: &str = "bench-password";

/// Of a manager with an empty database, on ports of its own.
#[allow(dead_code, reason = "not every benchmark has a manager")]
pub(crate) async fn settings(data: &Path) -> Settings {
    let any = "127.0.0.1:0".parse().unwrap();
    Settings {
        database_url: Hidden(database().await),
        data_dir: data.to_owned(),
        rest_listen: any,
        internal_listen: any,
        admin_password: Some(Hidden(PASSWORD.to_owned())),
        ..Settings::default()
    }
}

/// What rows of a tenant have for everybody in it.
#[allow(dead_code, reason = "not every benchmark has rows")]
pub(crate) fn scope(tenant: &str) -> Scope {
    Scope {
        tenant: tenant.to_owned(),
        visibility: "tenant".to_owned(),
        created_by: "admin".to_owned(),
    }
}

/// Times of single requests within one measurement.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

#[allow(dead_code, reason = "not every benchmark measures single requests")]
impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).map_or(0.0, Duration::as_secs_f64) * 1_000.0
    }

    /// Prints rate and percentiles of what took `begin.elapsed()` as a whole.
    pub(crate) fn print(mut self, what: &str, begin: Instant) {
        let rate = self.0.len() as f64 / begin.elapsed().as_secs_f64();
        self.0.sort_unstable();
        println!(
            "{what:<56} {rate:>9.0}/s   p50 {:>7.2}   p95 {:>7.2}   p99 {:>7.2} ms",
            self.percentile_ms(50),
            self.percentile_ms(95),
            self.percentile_ms(99)
        );
    }
}
