//! Times as the log stores them: whole milliseconds since the Unix epoch, UTC.
use chrono::{DateTime, SecondsFormat, Utc};

/// `2026-11-22T17:59:51.758Z`: the only form of a moment in REST answers.
pub fn wire(at_ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(at_ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// As [`wire`], from microseconds; what lies below a millisecond is cut.
pub fn wire_us(at_us: i64) -> String {
    wire(at_us.div_euclid(1000))
}
