//! The parameters of an execution: what was given, fitted to what the workflow declares.
use serde_json::{Map, Value};

use super::objects::names_objects;
use crate::{
    dsl::constraints::check_value,
    error::{Error, ErrorCode},
};

/// Given parameters, checked and converted, and the declared defaults after them.
///
/// # Errors
/// 400 for names that are not declared (unless custom ones are allowed), for missing ones, for
/// values of another type and those that violate constraints.
pub(super) fn merge(
    workflow_id: &str,
    declared: &Map<String, Value>,
    given: &Map<String, Value>,
    allow_custom: bool,
) -> Result<Map<String, Value>, Error> {
    let unknown: Vec<&str> = given
        .keys()
        .filter(|name| !declared.contains_key(*name))
        .map(String::as_str)
        .collect();
    if !allow_custom && !unknown.is_empty() {
        return Err(illegal(format!(
            "Workflow \"{workflow_id}\" does not have the following parameters declared: {}. \
             Remove these parameters or use the flag for allowing custom parameters",
            unknown.join(", ")
        )));
    }
    let missing: Vec<&str> = declared
        .iter()
        .filter(|(name, spec)| !given.contains_key(*name) && is_needed(spec))
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(illegal(format!(
            "Workflow \"{workflow_id}\" must be provided with the following parameters to \
             execute: {}",
            missing.join(", ")
        )));
    }
    let mut merged = Map::new();
    for (name, value) in given {
        let value = match declared.get(name) {
            Some(spec) => fitted(name, spec, value)?,
            None => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    for (name, spec) in declared {
        if let (false, Some(default)) = (merged.contains_key(name), spec.get("default")) {
            merged.insert(name.clone(), default.clone());
        }
    }
    Ok(merged)
}

fn is_needed(spec: &Value) -> bool {
    spec.get("default").is_none() && spec.get("required") != Some(&Value::Bool(false))
}

fn fitted(name: &str, spec: &Value, value: &Value) -> Result<Value, Error> {
    let declared = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let value = converted(declared, value)
        .ok_or_else(|| illegal(format!("Parameter \"{name}\" must be of type {declared}")))?;
    let constraints = spec.get("constraints").and_then(Value::as_array);
    // what names objects is checked where they can be looked up
    let is_plain = !names_objects(spec);
    if is_plain && constraints.is_some_and(|constraints| !constraints.is_empty()) {
        check_value(name, &spec.into(), &(&value).into(), None).map_err(|error| {
            illegal(format!(
                "Parameter \"{name}\" does not meet its constraints: {error}"
            ))
        })?;
    }
    Ok(value)
}

/// The value in its declared type; texts are read as what they are to be.
fn converted(declared: &str, value: &Value) -> Option<Value> {
    let text = value.as_str().map(str::trim);
    match declared {
        "integer" => match text {
            Some(text) => text.parse::<i64>().ok().map(Value::from),
            None => value.as_i64().map(Value::from),
        },
        "float" => match text {
            Some(text) => {
                let number: f64 = text.parse().ok()?;
                serde_json::Number::from_f64(number).map(Value::Number)
            }
            None => value.is_number().then(|| value.clone()),
        },
        "boolean" => match text {
            Some(text) => match text.to_ascii_lowercase().as_str() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            None => value.is_boolean().then(|| value.clone()),
        },
        // clients of the reference rely on a text being taken apart into its characters
        "list" => match value {
            Value::Array(_) => Some(value.clone()),
            Value::String(text) => Some(
                text.chars()
                    .map(|letter| Value::from(letter.to_string()))
                    .collect(),
            ),
            Value::Object(map) => Some(map.keys().map(|key| Value::from(key.as_str())).collect()),
            _ => None,
        },
        "string" => match value {
            Value::String(_) => Some(value.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
            other => Some(Value::from(other.to_string())),
        },
        _ => Some(value.clone()),
    }
}

pub(super) fn illegal(message: String) -> Error {
    Error::refused(ErrorCode::IllegalExecutionParameters, message)
}
