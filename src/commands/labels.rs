//! Labels as clients write them, and as the log keeps them.
use serde_json::Value;
use stratalog_projections::views::Label;
use stratalog_schema::events;
use unicode_normalization::UnicodeNormalization;

use super::ids;
use crate::{dsl, error::Error};

/// Longest value.
const VALUE_CHARS_MAX: usize = 256;
/// Keys that begin with this are ours.
const RESERVED: &str = "csys-";
/// Those of them that people may set.
pub const RESERVED_KEYS: [&str; 11] = [
    "csys-obj-name",
    "csys-obj-type",
    "csys-env-type",
    "csys-wrcp-services",
    "csys-wrcp-group-id",
    "csys-location-name",
    "csys-location-lat",
    "csys-location-long",
    "csys-obj-parent",
    "csys-environment",
    "csys-consumer-id",
];

/// A label somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Lower-case key.
    pub key: String,
    /// Normalised value.
    pub value: String,
    /// When it was attached, where it is restored.
    pub created_at_ms: Option<i64>,
    /// Who attached it, where it is restored.
    pub created_by: Option<String>,
}

/// Whether two labels are the same, whoever attached them and when.
pub(crate) fn is_same(one: &Wanted, other: &Wanted) -> bool {
    one.key == other.key && one.value == other.value
}

/// Reads a list of labels: `[{"key": "value"}, {"key": ["a", "b"]}]`, or of label objects.
///
/// # Errors
/// 400 for anything else, for keys and values that are not allowed, and for labels given twice.
pub fn parse(labels: &Value) -> Result<Vec<Wanted>, Error> {
    let Value::Array(items) = labels else {
        return Err(malformed());
    };
    let mut wanted: Vec<Wanted> = Vec::with_capacity(items.len());
    for item in items {
        let Value::Object(map) = item else {
            return Err(malformed());
        };
        if let (Some(Value::String(key)), Some(Value::String(value))) =
            (map.get("key"), map.get("value"))
        {
            let mut label = label(key, value)?;
            label.created_at_ms = map.get("created_at").map(moment).transpose()?.flatten();
            label.created_by = map
                .get("created_by")
                .and_then(Value::as_str)
                .map(str::to_owned);
            wanted.push(label);
            continue;
        }
        let (Some((key, value)), 1) = (map.iter().next(), map.len()) else {
            return Err(malformed());
        };
        match value {
            Value::String(value) => wanted.push(label(key, value)?),
            Value::Array(values) => {
                for value in values {
                    wanted.push(label(key, value.as_str().ok_or_else(malformed)?)?);
                }
            }
            _ => return Err(malformed()),
        }
    }
    for (at, label) in wanted.iter().enumerate() {
        let is_same = |other: &&Wanted| other.key == label.key && other.value == label.value;
        if wanted.iter().take(at).any(|other| is_same(&other)) {
            return Err(Error::bad_parameters(
                "You cannot define the same label twice",
            ));
        }
    }
    Ok(wanted)
}

fn malformed() -> Error {
    Error::bad_parameters(
        "Labels must be a list of 1-entry dictionaries: [{<key1>: <value1>}, {<key2>: [<value2>, \
         <value3>]}, ...]",
    )
}

/// A label with its key and value checked and in their stored form.
///
/// # Errors
/// 400.
pub fn label(key: &str, value: &str) -> Result<Wanted, Error> {
    ids::check_any_start("label's key", key)?;
    let key = key.to_lowercase();
    if key.starts_with(RESERVED) && !RESERVED_KEYS.contains(&key.as_str()) {
        return Err(Error::bad_parameters(format!(
            "All labels with a `{RESERVED}` prefix are reserved for internal use. Allowed \
             `{RESERVED}` prefixed labels are: {}",
            RESERVED_KEYS.join(", ")
        )));
    }
    let mut value: String = value.nfkc().collect();
    if value.is_empty() {
        return Err(Error::bad_parameters("The label's value is empty"));
    }
    if value.chars().count() > VALUE_CHARS_MAX {
        return Err(Error::bad_parameters(
            "The label's value is too long. Maximum allowed length is 256 characters",
        ));
    }
    if value.chars().any(|c| c.is_control() || c == '"') {
        return Err(Error::bad_parameters(
            "The label's value contains illegal characters: control characters and \" are not \
             allowed",
        ));
    }
    if key == "csys-obj-type" {
        value = value.to_lowercase();
    }
    check_location(&key, &value)?;
    Ok(Wanted {
        key,
        value,
        created_at_ms: None,
        created_by: None,
    })
}

fn check_location(key: &str, value: &str) -> Result<(), Error> {
    let limit = match key {
        "csys-location-lat" => 90.0,
        "csys-location-long" => 180.0,
        _ => return Ok(()),
    };
    let number: Option<f64> = value.parse().ok();
    if number.is_some_and(|number| (-limit..=limit).contains(&number)) {
        return Ok(());
    }
    Err(Error::bad_parameters(format!(
        "The label {key} must be a number between -{limit} and {limit}"
    )))
}

/// A moment with a time zone, in milliseconds since the epoch; null is none.
///
/// # Errors
/// 400 for anything else.
pub fn moment(value: &Value) -> Result<Option<i64>, Error> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text,
        _ => return Err(Error::bad_parameters("A time is expected to be a string")),
    };
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Ok(Some(moment.timestamp_millis())),
        Err(_) => Err(Error::bad_parameters(format!(
            "`{text}` is not a time: it must look like 2026-01-31T23:59:59Z (missing timezone \
             information?)"
        ))),
    }
}

/// The whole new set: labels that are attached already keep their moment and creator.
pub(crate) fn replaced(
    before: &[Label],
    wanted: &[Wanted],
    (now_ms, username): (i64, &str),
) -> Vec<events::Label> {
    wanted
        .iter()
        .map(|label| {
            let is_same = |other: &&Label| other.key == label.key && other.value == label.value;
            let kept = before.iter().find(is_same);
            let kept_at = kept.and_then(|kept| {
                chrono::DateTime::parse_from_rfc3339(&kept.created_at)
                    .ok()
                    .map(|moment| moment.timestamp_millis())
            });
            events::Label {
                key: label.key.clone(),
                value: label.value.clone(),
                created_at_ms: label.created_at_ms.or(kept_at).unwrap_or(now_ms),
                created_by: label
                    .created_by
                    .clone()
                    .or_else(|| kept.map(|kept| kept.created_by.clone()))
                    .unwrap_or_else(|| username.to_owned()),
            }
        })
        .collect()
}

/// Stored labels in the form in which they are asked for.
pub(crate) fn kept(labels: &[Label]) -> Vec<Wanted> {
    labels
        .iter()
        .map(|label| Wanted {
            key: label.key.clone(),
            value: label.value.clone(),
            created_at_ms: None,
            created_by: None,
        })
        .collect()
}

/// Labels there are, then those that are new; nothing twice.
pub(crate) fn joined(before: &[Label], more: impl IntoIterator<Item = Wanted>) -> Vec<Wanted> {
    let mut wanted = kept(before);
    add(&mut wanted, more);
    wanted
}

/// Adds those labels that are not there yet.
pub(crate) fn add(wanted: &mut Vec<Wanted>, more: impl IntoIterator<Item = Wanted>) {
    for label in more {
        if !wanted.iter().any(|known| is_same(known, &label)) {
            wanted.push(label);
        }
    }
}

/// Labels of a plan section: `{key: {"values": [..]}}`.
pub(crate) fn of_plan(section: Option<&dsl::Map>) -> Vec<Wanted> {
    let Some(section) = section else {
        return Vec::new();
    };
    let mut wanted = Vec::new();
    for (key, spec) in section {
        let values = spec.get("values").and_then(dsl::Value::as_array);
        for value in values.into_iter().flatten() {
            let text = match value {
                dsl::Value::String(text) => text.as_ref().to_owned(),
                other => other.to_string(),
            };
            // what a plan says was checked when it was parsed; what is left over is dropped
            wanted.extend(label(key, &text).ok());
        }
    }
    wanted
}
