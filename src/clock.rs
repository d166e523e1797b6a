//! The only place that asks what time it is.
use chrono::{DateTime, Utc};

/// Now.
#[allow(clippy::disallowed_methods, reason = "the one clock of the server")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Now, in milliseconds since the Unix epoch.
pub fn now_ms() -> i64 {
    now().timestamp_millis()
}

/// Now, in microseconds since the Unix epoch.
pub fn now_us() -> i64 {
    now().timestamp_micros()
}
