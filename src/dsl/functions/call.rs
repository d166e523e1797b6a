//! Recognising a function call in a JSON value.

use crate::dsl::value::{Map, Value};

use super::kind::Kind;
use super::survey::survey;

/// A map that calls a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) kind: Kind,
    pub(crate) args: &'a Value,
    /// What `type` beside the function says it should return.
    pub(crate) returns: Option<&'a Value>,
}

/// A call has one key, or two; all but `type` must name functions, and the last of them counts.
pub(crate) fn recognise(map: &Map) -> Option<Call<'_>> {
    if map.is_empty() || map.len() > 2 {
        return None;
    }
    let mut called = None;
    let mut returns = None;
    for (key, value) in map {
        if &**key == "type" {
            returns = Some(value);
        } else {
            called = Some((Kind::from_name(key)?, value));
        }
    }
    called.map(|(kind, args)| Call {
        kind,
        args,
        returns,
    })
}

/// The call this value is, if it is one.
pub(crate) fn of(value: &Value) -> Option<Call<'_>> {
    recognise(value.as_object()?)
}

pub(crate) fn is_call(value: &Value) -> bool {
    of(value).is_some()
}

/// Whether a call stands anywhere in a value.
pub(crate) fn contains_call(value: &Value) -> bool {
    survey(value).has_calls
}
