//! When a token ends: a date, or how long from now (`+10h`, `+30 minutes`, `+1y+2mo`).
use chrono::{DateTime, Duration, Months, NaiveDate, NaiveDateTime, Utc};

use crate::error::Error;

const FORMATS: [&str; 4] = [
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
];

/// The moment a text means.
pub(super) fn parse(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let text = text.trim();
    let at = match text.strip_prefix('+') {
        Some(relative) => from_now(relative, now),
        None => absolute(text),
    };
    let at = at.ok_or_else(|| {
        Error::bad_parameters(
            "expiration_date is no date: `YYYY-MM-DD HH:mm` or a time from now \
             (`+10h`, `+30 minutes`, `+1y+2mo`) is expected",
        )
    })?;
    if at <= now {
        return Err(Error::bad_parameters("Expiration date was in the past."));
    }
    Ok(at)
}

fn absolute(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.with_timezone(&Utc));
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return date.and_hms_opt(0, 0, 0).map(|at| at.and_utc());
    }
    let parse = |format| NaiveDateTime::parse_from_str(text, format).ok();
    FORMATS.into_iter().find_map(parse).map(|at| at.and_utc())
}

fn from_now(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut at = now;
    for part in text.split('+') {
        let part = part.trim();
        let digits = part.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = part.split_at(digits);
        at = later(at, number.parse().ok()?, unit.trim())?;
    }
    Some(at)
}

fn later(at: DateTime<Utc>, number: u32, unit: &str) -> Option<DateTime<Utc>> {
    let count = i64::from(number);
    let span = match unit.trim_end_matches('s') {
        // "s" alone is seconds, and loses its letter above
        "" if unit == "s" => Duration::try_seconds(count)?,
        "sec" | "second" => Duration::try_seconds(count)?,
        "m" | "min" | "minute" => Duration::try_minutes(count)?,
        "h" | "hour" => Duration::try_hours(count)?,
        "d" | "day" => Duration::try_days(count)?,
        "w" | "week" => Duration::try_weeks(count)?,
        "mo" | "month" => return at.checked_add_months(Months::new(number)),
        "y" | "year" => return at.checked_add_months(Months::new(number.checked_mul(12)?)),
        _ => return None,
    };
    at.checked_add_signed(span)
}

#[cfg(test)]
mod tests {
    //! Texts that clients send.
    use super::*;

    #[test]
    fn dates_and_spans_are_understood() {
        let now: DateTime<Utc> = "2026-01-31T10:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2027-02-03 04:05", "2027-02-03T04:05:00Z"),
            ("2027-02-03", "2027-02-03T00:00:00Z"),
            ("2027-02-03T04:05:06.007Z", "2027-02-03T04:05:06.007Z"),
            ("2027-02-03T04:05:06.007", "2027-02-03T04:05:06.007Z"),
            ("+10h", "2026-01-31T20:00:00Z"),
            ("+30 minutes", "2026-01-31T10:30:00Z"),
            ("+5s", "2026-01-31T10:00:05Z"),
            ("+1 day", "2026-02-01T10:00:00Z"),
            ("+1mo", "2026-02-28T10:00:00Z"),
            ("+1y+2mo", "2027-03-31T10:00:00Z"),
        ] {
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(parse(text, now).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_or_past_is_refused() {
        let now: DateTime<Utc> = "2026-01-31T10:00:00Z".parse().unwrap();
        for text in ["", "soon", "+", "+h", "+1", "+1 fortnight", "+4294967295y"] {
            let error = parse(text, now).unwrap_err().to_string();
            assert!(error.contains("no date"), "{text}: {error}");
        }
        for text in ["2025-01-01", "+0s"] {
            let error = parse(text, now).unwrap_err().to_string();
            assert!(error.contains("past"), "{text}: {error}");
        }
    }
}
