//! Paths into properties: `a.b[2].c`.
use serde_json::{Map, Value};

/// No such thing at the path, or no place to put something.
#[derive(Debug, thiserror::Error)]
#[error("illegal path: {0}")]
pub(super) struct IllegalPath(String);

pub(super) fn get(fields: &Map<String, Value>, path: &str) -> Result<Value, IllegalPath> {
    let illegal = || IllegalPath(path.to_owned());
    let mut segments = path.split('.');
    let first = segments.next().unwrap_or_default();
    let mut current = step(fields, first).ok_or_else(illegal)?;
    for segment in segments {
        current = step(current.as_object().ok_or_else(illegal)?, segment).ok_or_else(illegal)?;
    }
    Ok(current.clone())
}

/// Creates the mappings on the way; lists must be there already.
pub(super) fn set(
    fields: &mut Map<String, Value>,
    path: &str,
    value: Value,
) -> Result<(), IllegalPath> {
    let illegal = || IllegalPath(path.to_owned());
    let (parents, last) = match path.rsplit_once('.') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, path),
    };
    let mut current = fields;
    for segment in parents.into_iter().flat_map(|parents| parents.split('.')) {
        let next = match indexed(segment) {
            Some((name, index)) => current
                .get_mut(name)
                .and_then(Value::as_array_mut)
                .and_then(|list| list.get_mut(index)),
            None => Some(
                current
                    .entry(segment)
                    .or_insert_with(|| Value::Object(Map::new())),
            ),
        };
        current = next.and_then(Value::as_object_mut).ok_or_else(illegal)?;
    }
    current.insert(last.to_owned(), value);
    Ok(())
}

fn step<'a>(fields: &'a Map<String, Value>, segment: &str) -> Option<&'a Value> {
    match indexed(segment) {
        Some((name, index)) => fields.get(name)?.as_array()?.get(index),
        None => fields.get(segment),
    }
}

/// `name[3]`
fn indexed(segment: &str) -> Option<(&str, usize)> {
    let (name, index) = segment.strip_suffix(']')?.rsplit_once('[')?;
    if name.is_empty() {
        None
    } else {
        Some((name, index.parse().ok()?))
    }
}
