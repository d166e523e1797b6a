//! The functions that make text of text, and `merge`.

use std::ops::ControlFlow;

use crate::dsl::value::{Map, Value};

use super::call::{self, is_call};
use super::fault::{failed, invalid, value_error};
use super::kind::Kind;
use super::{text, walk};
use crate::dsl::{DslError, Exception};

/// Joins the arguments; nothing while one of them still is a call.
pub(super) fn concat(args: &[Value]) -> Option<Value> {
    if args.iter().any(is_call) {
        return None;
    }
    Some(Value::from(args.iter().map(text::str).collect::<String>()))
}

/// Unites maps from left to right; nothing while one of them still is a call.
pub(super) fn merge(args: &[Value]) -> Result<Option<Value>, DslError> {
    if args.iter().any(is_call) {
        return Ok(None);
    }
    let mut merged = Map::new();
    for arg in args {
        let Value::Object(map) = arg else {
            return Err(value_error(format!(
                "merge takes maps, but got {}",
                text::repr(arg)
            )));
        };
        for (key, value) in map {
            merged.insert(key.clone(), value.clone());
        }
    }
    Ok(Some(Value::Object(merged)))
}

/// Checks at parse time what the arguments are; calls may still become what is wanted.
pub(super) fn check_types(kind: Kind, args: &Value) -> Result<(), DslError> {
    match typed(kind, args, |value| {
        if is_call(value) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }) {
        Ok(()) => Ok(()),
        Err(message) => Err(invalid(message)),
    }
}

pub(super) fn evaluate(kind: Kind, args: &Value) -> Result<Value, DslError> {
    typed(kind, args, |_| ControlFlow::Continue(())).map_err(failed)?;
    let items = match args {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let texts: Vec<&str> = items.iter().map_while(Value::as_str).collect();
    match (kind, texts.as_slice()) {
        (Kind::StringFind, [haystack, needle]) => Ok(find(haystack, needle)),
        (Kind::StringReplace, [haystack, needle, replacement, ..]) => Ok(Value::from(replace(
            haystack,
            needle,
            replacement,
            items.get(3),
        ))),
        (Kind::StringSplit, [input, separator, ..]) => split(input, separator, items.get(2)),
        (Kind::StringLower, [input]) => Ok(Value::from(input.to_lowercase())),
        (Kind::StringUpper, [input]) => Ok(Value::from(input.to_uppercase())),
        _ => Err(failed(format!(
            "{} cannot use {}",
            kind.name(),
            text::repr(args)
        ))),
    }
}

/// Checks each argument that `skip` lets through; the error is a message.
fn typed(kind: Kind, args: &Value, skip: impl Fn(&Value) -> ControlFlow<()>) -> Result<(), String> {
    let (names, numbers): (&[&str], &[&str]) = match kind {
        Kind::StringFind => (&["haystack", "needle"], &[]),
        Kind::StringReplace => (&["haystack", "needle", "replacement"], &["count"]),
        Kind::StringSplit => (&["input", "separator"], &["index"]),
        _ => (&["input"], &[]),
    };
    let items = match args {
        Value::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    for (item, (name, is_text)) in items.iter().zip(
        names
            .iter()
            .map(|name| (name, true))
            .chain(numbers.iter().map(|name| (name, false))),
    ) {
        if skip(item).is_break() {
            continue;
        }
        let fits = if is_text {
            item.is_string()
        } else {
            item.is_null() || super::shape::is_integer(item)
        };
        if !fits {
            let wanted = if is_text { "a string" } else { "an integer" };
            let found = match call::of(item) {
                Some(call) => format!("an unresolved call of {}", call.kind.name()),
                None => text::repr(item),
            };
            return Err(format!(
                "{} wants {wanted} as {name}, but got {found}",
                kind.name()
            ));
        }
    }
    Ok(())
}

/// The position in characters, or -1.
fn find(haystack: &str, needle: &str) -> Value {
    match haystack.find(needle) {
        Some(bytes) => Value::from(haystack.chars().count() - tail_length(haystack, bytes)),
        None => Value::from(-1),
    }
}

fn tail_length(text: &str, from: usize) -> usize {
    text.get(from..).map_or(0, |tail| tail.chars().count())
}

fn replace(haystack: &str, needle: &str, replacement: &str, count: Option<&Value>) -> String {
    let count = match count {
        Some(Value::Bool(flag)) => i64::from(*flag),
        Some(other) => other.as_i64().unwrap_or(-1),
        None => -1,
    };
    match usize::try_from(count) {
        Ok(count) => haystack.replacen(needle, replacement, count),
        Err(_) => haystack.replace(needle, replacement),
    }
}

fn split(input: &str, separator: &str, index: Option<&Value>) -> Result<Value, DslError> {
    if separator.is_empty() {
        return Err(value_error("string_split got an empty separator".into()));
    }
    let parts: Vec<Value> = input.split(separator).map(Value::from).collect();
    match index {
        None | Some(Value::Null) => Ok(Value::from(parts)),
        Some(index) => walk::position(index, parts.len())
            .and_then(|at| parts.get(at).cloned())
            .ok_or_else(|| {
                DslError::new(
                    Exception::Uncontrolled("IndexError"),
                    None,
                    format!(
                        "string_split has no part {index} among the {} of '{input}'",
                        parts.len()
                    ),
                )
            }),
    }
}
