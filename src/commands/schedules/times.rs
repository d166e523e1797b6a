//! Times as clients of schedules write them.
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value;

use crate::error::Error;

/// Times without a zone: they are UTC.
const PLAIN: [&str; 3] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.fZ",
];
/// Times with one.
const ZONED: [&str; 5] = [
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%d %H:%M:%S%.f %#z",
];

/// A bound of a schedule, `since` or `until`; milliseconds since the epoch.
///
/// # Errors
/// 400 for what is no time.
pub(super) fn bound(name: &str, value: &Value) -> Result<i64, Error> {
    let refuse = || {
        Error::bad_parameters(format!(
            "the datetime expression {value} of `{name}` doesn't match the supported formats: \
             %Y-%m-%d, %Y-%m-%dT%H:%M:%S, %Y-%m-%d %H:%M:%S"
        ))
    };
    let text = value.as_str().ok_or_else(refuse)?.trim();
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let midnight = day.and_hms_opt(0, 0, 0).ok_or_else(refuse)?;
        return Ok(midnight.and_utc().timestamp_millis());
    }
    let parsed = PLAIN
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let parsed = parsed.ok_or_else(refuse)?;
    Ok(parsed.and_utc().timestamp_millis())
}

/// A moment with a time zone that lies ahead; milliseconds since the epoch.
///
/// # Errors
/// 400 for what is no such time.
pub(super) fn ahead(text: &str, now_ms: i64) -> Result<i64, Error> {
    let text = text.trim();
    // an RFC 3339 `Z` is a zone, too
    let text = match text.strip_suffix(['Z', 'z']) {
        Some(plain) => format!("{plain}+0000"),
        None => text.to_owned(),
    };
    let parsed = ZONED
        .iter()
        .find_map(|format| DateTime::parse_from_str(&text, format).ok());
    let Some(parsed) = parsed else {
        return Err(Error::bad_parameters(format!(
            "Illegal scheduled time `{text}`: a date and a time are expected, and a timezone (is \
             the timezone information missing?)"
        )));
    };
    let at_ms = parsed.timestamp_millis();
    if at_ms <= now_ms {
        return Err(Error::bad_parameters(format!(
            "Date `{text}` has already passed, please provide valid date"
        )));
    }
    Ok(at_ms)
}

#[cfg(test)]
mod tests {
    //! What counts as a time.
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds_have_three_forms() {
        for text in [
            "2026-01-02",
            "2026-01-02T00:00:00",
            "2026-01-02 00:00:00",
            "2026-01-02 00:00:00.000",
            "2026-01-02T00:00:00.000000Z",
        ] {
            let found = bound("since", &json!(text)).unwrap();
            assert_eq!(found, 1_767_312_000_000, "{text}");
        }
        for value in [json!("soon"), json!(""), json!(5), json!("2026-13-01")] {
            let refused = bound("since", &value).unwrap_err();
            assert_eq!(refused.status(), 400, "{value}");
        }
    }

    #[test]
    fn a_moment_ahead_has_a_zone() {
        for text in [
            "2026-01-02T00:00+0000",
            "2026-01-02T01:00:00+01:00",
            "2026-01-02 00:00:00Z",
            "2026-01-02T00:00Z",
        ] {
            assert_eq!(ahead(text, 0).unwrap(), 1_767_312_000_000, "{text}");
        }
        assert_eq!(ahead("2026-01-02T00:00:00", 0).unwrap_err().status(), 400);
        assert_eq!(
            ahead("2026-01-02T00:00Z", i64::MAX).unwrap_err().status(),
            400
        );
    }
}
