//! Stored JSON texts as values; what is not there is null, an empty object, or an empty list.
use serde_json::{Map, Value};
use stratalog_projections::views::Json;

use crate::error::Error;

fn parsed(json: Option<&Json>) -> Result<Value, Error> {
    json.map_or(Ok(Value::Null), |json| {
        serde_json::from_str(json.get()).map_err(Error::internal)
    })
}

/// The members of an object; none of anything else.
///
/// # Errors
/// `Internal` for a text that is no JSON.
pub(crate) fn object(json: Option<&Json>) -> Result<Map<String, Value>, Error> {
    Ok(match parsed(json)? {
        Value::Object(map) => map,
        _ => Map::new(),
    })
}

/// The items of a list; none of anything else.
///
/// # Errors
/// `Internal` for a text that is no JSON.
pub(crate) fn list(json: Option<&Json>) -> Result<Vec<Value>, Error> {
    Ok(match parsed(json)? {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}
