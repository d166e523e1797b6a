//! What a scalar is, by the rules of YAML 1.1.

use std::sync::{Arc, LazyLock};

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use regex::{Captures, Regex};
use serde_json::Number;

use super::node::Kind;

fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("the pattern is fixed and valid")
}

static INT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    )
});

static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    )
});

static TIMESTAMP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]*))?(?:[ \t]*(?:(Z)|([-+])([0-9]{1,2})(?::?([0-9]{2}))?))?)?$",
    )
});

/// Why a scalar has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// A value that looks like its kind but is none: 2020-02-31, `!!int abc`.
    Value(&'static str),
    /// A tag nobody knows, or a plain `=` or `<<` where a value stands.
    Tag,
}

/// The kind of a plain scalar without a tag.
pub(super) fn plain(text: &str) -> Result<Kind, Unreadable> {
    let Some(first) = text.bytes().next() else {
        return Ok(Kind::Null);
    };
    match first {
        b'~' | b'n' | b'N' | b'y' | b'Y' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' => word(text),
        b'=' if text == "=" => Err(Unreadable::Tag),
        b'<' if text == "<<" => Err(Unreadable::Tag),
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text),
        _ => Ok(Kind::Str(text.into())),
    }
}

fn word(text: &str) -> Result<Kind, Unreadable> {
    Ok(match text {
        "~" | "null" | "Null" | "NULL" => Kind::Null,
        _ => boolean_word(text).map_or_else(|| Kind::Str(text.into()), Kind::Bool),
    })
}

fn boolean_word(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Result<Kind, Unreadable> {
    if INT.is_match(text) {
        return integer(text);
    }
    if FLOAT.is_match(text) {
        return float(text);
    }
    match TIMESTAMP.captures(text) {
        // A bare date needs two digits for month and day; anything shorter is a string.
        Some(parts) if parts.get(4).is_some() || text.len() == 10 => timestamp(&parts),
        _ => Ok(Kind::Str(text.into())),
    }
}

/// The kind a scalar has by an explicit core tag (the part behind `tag:yaml.org,2002:`).
pub(super) fn tagged(tag: &str, text: &str) -> Result<Kind, Unreadable> {
    match tag {
        "str" => Ok(Kind::Str(text.into())),
        "null" => Ok(Kind::Null),
        "int" => integer(text),
        "float" => float(text),
        "bool" => {
            let lower = text.to_ascii_lowercase();
            boolean_word(&lower)
                .map(Kind::Bool)
                .ok_or(Unreadable::Value("not a boolean"))
        }
        "timestamp" => {
            let parts = TIMESTAMP
                .captures(text)
                .ok_or(Unreadable::Value("not a timestamp"))?;
            timestamp(&parts)
        }
        _ => Err(Unreadable::Tag),
    }
}

fn integer(text: &str) -> Result<Kind, Unreadable> {
    const BAD: Unreadable = Unreadable::Value("not an integer");
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        u128::from_str_radix(binary, 2).ok()
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        u128::from_str_radix(hexadecimal, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        u128::from_str_radix(digits, 8).ok()
    } else if digits.contains(':') {
        digits.split(':').try_fold(0u128, |sum, part| {
            sum.checked_mul(60)?.checked_add(part.parse::<u128>().ok()?)
        })
    } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        match digits.parse::<u128>() {
            Ok(value) => Some(value),
            Err(_) => return large(digits, negative),
        }
    } else {
        None
    };
    let magnitude = magnitude.ok_or(BAD)?;
    let number = if negative {
        i128::try_from(magnitude)
            .ok()
            .and_then(|value| i64::try_from(-value).ok())
            .map(Number::from)
    } else {
        u64::try_from(magnitude).ok().map(Number::from)
    };
    number.map_or_else(
        || large(&magnitude.to_string(), negative),
        |number| Ok(Kind::Int(number)),
    )
}

/// Integers beyond 64 bits keep their magnitude, as JSON numbers of other readers do.
fn large(digits: &str, negative: bool) -> Result<Kind, Unreadable> {
    let value: f64 = digits
        .parse()
        .map_err(|_| Unreadable::Value("not an integer"))?;
    Number::from_f64(if negative { -value } else { value })
        .map(Kind::Int)
        .ok_or(Unreadable::Value("an integer too large"))
}

fn float(text: &str) -> Result<Kind, Unreadable> {
    const BAD: Unreadable = Unreadable::Value("not a float");
    let text = text.replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text)),
    };
    let value = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if digits.contains(':') => digits
            .split(':')
            .try_fold(0.0, |sum, part| {
                Some(sum * 60.0 + part.parse::<f64>().ok()?)
            })
            .ok_or(BAD)?,
        _ => digits.parse::<f64>().map_err(|_| BAD)?,
    };
    Ok(Kind::Float(sign * value))
}

fn timestamp(parts: &Captures<'_>) -> Result<Kind, Unreadable> {
    const BAD: Unreadable = Unreadable::Value("an impossible date");
    let part = |index: usize| -> Option<u32> { parts.get(index)?.as_str().parse().ok() };
    let year = part(1)
        .and_then(|year| i32::try_from(year).ok())
        .filter(|year| *year > 0);
    let date = year
        .zip(part(2).zip(part(3)))
        .and_then(|(year, (month, day))| NaiveDate::from_ymd_opt(year, month, day))
        .ok_or(BAD)?;
    let Some(hour) = part(4) else {
        return Ok(Kind::Timestamp(date.format("%Y-%m-%d").to_string().into()));
    };
    let fraction = parts.get(7).map_or("", |digits| digits.as_str());
    let micros: u32 = format!("{:0<6.6}", fraction).parse().map_err(|_| BAD)?;
    let time = part(5)
        .zip(part(6))
        .and_then(|(minute, second)| NaiveTime::from_hms_micro_opt(hour, minute, second, micros))
        .ok_or(BAD)?;
    let moment = date.and_time(time);
    let zone = if parts.get(8).is_some() {
        Some(0)
    } else {
        offset_seconds(parts)?
    };
    Ok(Kind::Timestamp(isoformat(moment, zone)?))
}

fn offset_seconds(parts: &Captures<'_>) -> Result<Option<i32>, Unreadable> {
    let (Some(sign), Some(hours)) = (parts.get(9), parts.get(10)) else {
        return Ok(None);
    };
    let number = |text: &str| {
        text.parse::<i32>()
            .map_err(|_| Unreadable::Value("a bad offset"))
    };
    let minutes = parts
        .get(11)
        .map_or(Ok(0), |minutes| number(minutes.as_str()))?;
    let seconds = (number(hours.as_str())? * 60 + minutes) * 60;
    Ok(Some(if sign.as_str() == "-" {
        -seconds
    } else {
        seconds
    }))
}

fn isoformat(moment: NaiveDateTime, zone: Option<i32>) -> Result<Arc<str>, Unreadable> {
    let has_micros = moment.and_utc().timestamp_subsec_micros() > 0;
    let shape = if has_micros {
        "%Y-%m-%dT%H:%M:%S%.6f"
    } else {
        "%Y-%m-%dT%H:%M:%S"
    };
    let mut text = moment.format(shape).to_string();
    if let Some(seconds) = zone {
        let offset = FixedOffset::east_opt(seconds).ok_or(Unreadable::Value("a bad offset"))?;
        // A moment at the very edge of the calendar has no counterpart in UTC.
        if moment
            .checked_sub_signed(TimeDelta::seconds(seconds.into()))
            .is_none()
        {
            return Err(Unreadable::Value("an impossible date"));
        }
        text.push_str(&offset.to_string());
    }
    Ok(text.into())
}
