//! Inputs of a deployment against what its plan asks for: presence only, values are checked with
//! the environment.
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode};

/// Checks that every required input is there and no other.
///
/// # Errors
/// 400, naming what is missing or unknown.
pub(super) fn check(plan: &Map<String, Value>, given: &Map<String, Value>) -> Result<(), Error> {
    let none = Map::new();
    let declared = plan.get("inputs").and_then(Value::as_object);
    let declared = declared.unwrap_or(&none);
    let is_required = |spec: &Value| {
        let default = spec.get("default").filter(|value| !value.is_null());
        default.is_none() && spec.get("required") != Some(&Value::Bool(false))
    };
    let missing: Vec<&str> = declared
        .iter()
        .filter(|(name, spec)| is_required(spec) && !given.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(Error::refused(
            ErrorCode::MissingRequiredInput,
            format!(
                "Cannot create deployment - missing required inputs: {}",
                missing.join(", ")
            ),
        ));
    }
    let unknown: Vec<&str> = given
        .keys()
        .filter(|name| !declared.contains_key(*name))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::UnknownInput,
        format!(
            "Cannot create deployment - unknown inputs: {}",
            unknown.join(", ")
        ),
    ))
}
