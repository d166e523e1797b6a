//! Values and the types declared for them.

use crate::dsl::value::{Map, Value};
use serde_json::Number;

use crate::dsl::functions::is_call;
use crate::dsl::parser::{DataTypes, fit, is_primitive_type};

/// Whether a value is of a primitive type; strings and names of objects admit anything, unknown
/// types nothing.
pub(crate) fn is_of_primitive_type(value: &Value, name: &str) -> bool {
    is_primitive_type(name) && (is_call(value) || fit(value, Some(name), &DataTypes::new()).is_ok())
}

/// The defaults of a data type, if they make a complete value and there are any.
pub(crate) fn default_of_type(declared: &str, data_types: &DataTypes) -> Option<Value> {
    if !data_types.contains_key(declared) {
        return None;
    }
    fit(&Value::Object(Map::new()), Some(declared), data_types)
        .ok()
        .filter(|complete| complete.as_object().is_some_and(|map| !map.is_empty()))
}

/// Reads a string as the number or boolean it is declared to be; leaves it alone when it is none.
pub fn auto_correct(value: &Value, declared: Option<&str>) -> Value {
    let Value::String(text) = value else {
        return value.clone();
    };
    let corrected = match declared {
        Some("integer") => digits(text)
            .and_then(|digits| digits.parse::<i64>().ok())
            .map(Value::from),
        Some("float") => digits(text)
            .and_then(|digits| digits.parse::<f64>().ok())
            .and_then(Number::from_f64)
            .map(Value::Number),
        Some("boolean") => match &**text {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        _ => None,
    };
    corrected.unwrap_or_else(|| value.clone())
}

/// The text without surrounding space and without underscores between digits.
fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    let mut previous = None;
    for (position, character) in text.char_indices() {
        if character == '_' {
            let next = text
                .get(position + 1..)
                .and_then(|rest| rest.chars().next());
            let between = |side: Option<char>| side.is_some_and(|c| c.is_ascii_digit());
            if !between(previous) || !between(next) {
                return None;
            }
        }
        previous = Some(character);
    }
    Some(text.replace('_', ""))
}
