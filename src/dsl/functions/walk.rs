//! Following a path of keys and indexes into a value.

use crate::dsl::value::Value;

/// Where a path led.
#[derive(Debug, Clone, Copy)]
pub(super) enum Walked<'a> {
    Found(&'a Value),
    /// Nothing is there: the value the path failed at, and the position of the step.
    Missing(&'a Value, usize),
}

pub(super) fn walk<'a>(value: &'a Value, path: &[Value]) -> Walked<'a> {
    let mut current = value;
    for (position, step) in path.iter().enumerate() {
        match child(current, step) {
            Some(next) => current = next,
            None => return Walked::Missing(current, position),
        }
    }
    Walked::Found(current)
}

fn child<'a>(value: &'a Value, step: &Value) -> Option<&'a Value> {
    match value {
        Value::Object(map) => match step {
            Value::String(key) => map.get(key),
            // Keys that are not strings became strings when the document was read.
            Value::Number(_) | Value::Bool(_) => map.get(&step.to_string()),
            _ => None,
        },
        Value::Array(items) => items.get(position(step, items.len())?),
        _ => None,
    }
}

/// The position an index means in a list; negative ones count from the end.
pub(super) fn position(index: &Value, length: usize) -> Option<usize> {
    let index = match index {
        Value::Bool(flag) => i64::from(*flag),
        other => other.as_i64()?,
    };
    let position = if index < 0 {
        i64::try_from(length).ok()?.checked_add(index)?
    } else {
        index
    };
    usize::try_from(position).ok().filter(|at| *at < length)
}

/// The steps of a path as one dotted text, for messages.
pub(super) fn dotted(path: &[Value]) -> String {
    path.iter()
        .map(super::text::str)
        .collect::<Vec<_>>()
        .join(".")
}
