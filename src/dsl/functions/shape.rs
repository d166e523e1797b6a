//! What arguments a function takes: checked wherever a call is met.

use std::collections::HashSet;

use crate::dsl::value::Value;

use super::call::is_call;
use super::fault::{failed, invalid, type_error, value_error};
use super::kind::Kind;
use super::text::str;
use crate::dsl::{DslError, Exception};

pub(crate) fn check(kind: Kind, args: &Value) -> Result<(), DslError> {
    match kind {
        Kind::Concat | Kind::Merge => list_of_arguments(kind, args),
        Kind::GetInput => get_input(args),
        Kind::GetProperty | Kind::GetAttribute | Kind::GetAttributesList => {
            names(kind, args, "[node, name, nested names...]", is_name_or_call)
        }
        Kind::GetAttributesDict => get_attributes_dict(args),
        Kind::GetSecret => get_secret(args),
        Kind::GetCapability => names(
            kind,
            args,
            "[deployment, capability, nested keys...]",
            is_name_or_call,
        ),
        Kind::GetGroupCapability => get_group_capability(args),
        Kind::GetEnvironmentCapability => get_environment_capability(args),
        Kind::GetLabel => get_label(args),
        Kind::GetSys => get_sys(args),
        Kind::GetConsumers => get_consumers(args),
        Kind::StringFind => count(kind, args, 2..=2),
        Kind::StringReplace => count(kind, args, 3..=4),
        Kind::StringSplit => count(kind, args, 2..=3),
        Kind::StringLower | Kind::StringUpper => one_text(kind, args),
    }
}

/// Python counts booleans among the integers.
pub(super) fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.is_boolean()
}

fn is_name(value: &Value) -> bool {
    value.is_string() || is_integer(value)
}

fn is_name_or_call(value: &Value) -> bool {
    is_name(value) || is_call(value)
}

fn wants(kind: Kind, expected: &str, args: &Value) -> String {
    format!(
        "{} takes {expected}, but got {}",
        kind.name(),
        super::text::repr(args)
    )
}

fn list_of_arguments(kind: Kind, args: &Value) -> Result<(), DslError> {
    if args.is_array() {
        Ok(())
    } else {
        Err(value_error(wants(kind, "a list of arguments", args)))
    }
}

fn get_input(args: &Value) -> Result<(), DslError> {
    let fits = match args {
        Value::String(_) => true,
        Value::Array(path) => !path.is_empty() && path.iter().all(is_name_or_call),
        other => is_call(other),
    };
    if fits {
        return Ok(());
    }
    Err(value_error(wants(
        Kind::GetInput,
        "an input name, a function, or [name, nested keys...]",
        args,
    )))
}

fn names(
    kind: Kind,
    args: &Value,
    expected: &str,
    fits: fn(&Value) -> bool,
) -> Result<(), DslError> {
    match args.as_array() {
        Some(items) if items.len() >= 2 && items.iter().all(fits) => Ok(()),
        _ => Err(value_error(wants(kind, expected, args))),
    }
}

fn get_attributes_dict(args: &Value) -> Result<(), DslError> {
    let expected = "[node, attribute or [attribute, nested names...]...]";
    let Some(items) = args.as_array() else {
        return Err(type_error(wants(Kind::GetAttributesDict, expected, args)));
    };
    let Some((node, paths)) = items.split_first() else {
        return Err(type_error(wants(Kind::GetAttributesDict, expected, args)));
    };
    if !is_name_or_call(node) {
        return Err(value_error(wants(Kind::GetAttributesDict, expected, args)));
    }
    let mut seen = HashSet::new();
    for path in paths {
        let steps = match path {
            Value::Array(steps) => steps.as_slice(),
            single => std::slice::from_ref(single),
        };
        if steps.is_empty() || !steps.iter().all(is_name_or_call) {
            return Err(value_error(wants(Kind::GetAttributesDict, expected, args)));
        }
        let Some(dotted) = dotted(path) else {
            return Err(type_error(format!(
                "get_attributes_dict takes attribute names that are strings, but got {}",
                super::text::repr(path)
            )));
        };
        if !seen.insert(dotted.clone()) {
            return Err(failed(format!(
                "get_attributes_dict asks for '{dotted}' more than once"
            )));
        }
    }
    Ok(())
}

/// The name under which `get_attributes_dict` answers for a path of strings.
pub(super) fn dotted(path: &Value) -> Option<String> {
    match path {
        Value::Array(steps) => steps
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|steps| steps.join(".")),
        single => single.as_str().map(str::to_owned),
    }
}

fn get_secret(args: &Value) -> Result<(), DslError> {
    let fits = match args {
        Value::String(_) => true,
        Value::Array(path) => path.len() >= 2,
        other => is_call(other),
    };
    if fits {
        return Ok(());
    }
    Err(invalid(wants(
        Kind::GetSecret,
        "a secret name, a function, or [name, nested keys...]",
        args,
    )))
}

fn get_group_capability(args: &Value) -> Result<(), DslError> {
    let kind = Kind::GetGroupCapability;
    let expected = "[group, capability or list of capabilities, nested keys...]";
    match args.as_array() {
        Some(items)
            if items.len() >= 2
                && items.iter().enumerate().all(|(position, item)| {
                    is_name_or_call(item) || (position == 1 && item.is_array())
                }) =>
        {
            Ok(())
        }
        _ => Err(value_error(wants(kind, expected, args))),
    }
}

fn get_environment_capability(args: &Value) -> Result<(), DslError> {
    let kind = Kind::GetEnvironmentCapability;
    let expected = "a capability name or [name, nested keys...]";
    match args {
        Value::String(_) => Ok(()),
        Value::Array(items) if items.len() >= 2 => {
            if items.iter().all(is_name_or_call) {
                Ok(())
            } else {
                Err(value_error(wants(kind, expected, args)))
            }
        }
        _ => Err(invalid(wants(kind, expected, args))),
    }
}

fn get_label(args: &Value) -> Result<(), DslError> {
    let kind = Kind::GetLabel;
    let expected = "a label key or [key, index of the value]";
    match args {
        Value::String(_) => Ok(()),
        Value::Array(items) => match items.as_slice() {
            [key, index] if key.is_string() || is_call(key) => match index {
                Value::String(digits)
                    if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) =>
                {
                    Ok(())
                }
                Value::String(_) => Err(invalid(wants(kind, expected, args))),
                index if is_integer(index) => Ok(()),
                _ => Err(DslError::new(
                    Exception::Uncontrolled("AttributeError"),
                    None,
                    wants(kind, expected, args),
                )),
            },
            _ => Err(invalid(wants(kind, expected, args))),
        },
        other if is_call(other) => Ok(()),
        _ => Err(invalid(wants(kind, expected, args))),
    }
}

fn get_sys(args: &Value) -> Result<(), DslError> {
    let fits = args.as_array().is_some_and(|items| {
        items.len() >= 2
            && items
                .iter()
                .take(2)
                .all(|item| !item.is_object() || is_call(item))
    });
    if fits {
        return Ok(());
    }
    Err(value_error(wants(Kind::GetSys, "[entity, property]", args)))
}

fn get_consumers(args: &Value) -> Result<(), DslError> {
    match args.as_str() {
        Some("ids" | "names" | "count") => Ok(()),
        _ => Err(value_error(wants(
            Kind::GetConsumers,
            "one of ids, names, count",
            args,
        ))),
    }
}

fn count(
    kind: Kind,
    args: &Value,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<(), DslError> {
    match args.as_array() {
        Some(items) if allowed.contains(&items.len()) => Ok(()),
        _ => Err(invalid(format!(
            "{} takes a list of {} to {} arguments, but got {}",
            kind.name(),
            allowed.start(),
            allowed.end(),
            str(args)
        ))),
    }
}

fn one_text(kind: Kind, args: &Value) -> Result<(), DslError> {
    let fits = match args {
        Value::String(_) => true,
        Value::Object(map) => map.len() == 1,
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(invalid(wants(kind, "one text or function", args)))
}
