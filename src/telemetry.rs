//! What the process tells about itself: log lines and metrics.
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Libraries that tell at `info` what nobody needs; the setting goes before.
const QUIET: &str = "tokio_postgres=warn,refinery_core=warn,lapin=warn";

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The setting `log` makes no sense.
    #[error("the setting `log` cannot be used: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs already.
    #[error("logging is started already: {0}")]
    Started(String),
}

/// Starts logging, to standard error. Once per process.
///
/// # Errors
/// A filter that makes no sense, or logging that runs already.
pub fn log(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(format!("{QUIET},{filter}"))?)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    }
    .map_err(|error| TelemetryError::Started(error.to_string()))
}

/// What `set` sets, in Prometheus' format: for what is known only when somebody asks.
pub fn rendered(set: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, set);
    recorder.handle().render()
}

/// Starts collecting metrics. A process has one collection: whoever comes later gets a view on an
/// empty one.
pub fn metrics() -> PrometheusHandle {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::debug!("metrics are collected already");
    }
    handle
}
