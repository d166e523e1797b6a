//! The operators of constraints: what argument each takes, and when it holds.

use std::cmp::Ordering;

use crate::dsl::value::{List, Value};

use super::pattern;
use crate::dsl::functions::is_call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    GreaterThan,
    GreaterOrEqual,
    LessThan,
    LessOrEqual,
    InRange,
    ValidValues,
    Length,
    MinLength,
    MaxLength,
    Pattern,
    FilterId,
    Labels,
    Tenants,
    NamePattern,
    DeploymentId,
}

/// Whether values of the type name objects of the manager.
pub fn is_object_type(name: &str) -> bool {
    matches!(name, "blueprint_id" | "deployment_id" | "secret_key") || belongs_to_deployment(name)
}

/// Object types whose values are looked for inside a deployment or blueprint.
pub(super) fn belongs_to_deployment(name: &str) -> bool {
    needs_deployment(name)
        || matches!(
            name,
            "scaling_group" | "node_id" | "node_type" | "operation_name"
        )
}

/// Object types a blueprint does not have, only a deployment.
pub(super) fn needs_deployment(name: &str) -> bool {
    matches!(name, "capability_value" | "node_instance")
}

impl Operator {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "equal" => Self::Equal,
            "greater_than" => Self::GreaterThan,
            "greater_or_equal" => Self::GreaterOrEqual,
            "less_than" => Self::LessThan,
            "less_or_equal" => Self::LessOrEqual,
            "in_range" => Self::InRange,
            "valid_values" => Self::ValidValues,
            "length" => Self::Length,
            "min_length" => Self::MinLength,
            "max_length" => Self::MaxLength,
            "pattern" => Self::Pattern,
            "filter_id" => Self::FilterId,
            "labels" => Self::Labels,
            "tenants" => Self::Tenants,
            "name_pattern" => Self::NamePattern,
            "deployment_id" => Self::DeploymentId,
            _ => return None,
        })
    }

    /// What the argument has to be.
    pub(super) fn expects(self) -> &'static str {
        match self {
            Self::InRange => "a list of two numbers",
            Self::ValidValues | Self::Labels | Self::Tenants => "a list",
            Self::Pattern => "a regular expression",
            Self::FilterId | Self::DeploymentId => "a string",
            Self::NamePattern => "a map of starts_with, ends_with, contains, equals_to",
            _ => "a number",
        }
    }

    pub(super) fn accepts(self, argument: &Value) -> bool {
        match self {
            _ if is_call(argument) => true,
            Self::InRange => argument
                .as_array()
                .is_some_and(|items| items.len() == 2 && items.iter().all(is_number)),
            Self::ValidValues | Self::Labels | Self::Tenants => argument.is_array(),
            Self::Pattern => argument.as_str().is_some_and(pattern::compiles),
            Self::FilterId | Self::DeploymentId => argument.is_string(),
            Self::NamePattern => argument.as_object().is_some_and(|map| {
                map.keys().all(|key| {
                    matches!(
                        &**key,
                        "starts_with" | "ends_with" | "contains" | "equals_to"
                    )
                })
            }),
            _ => is_number(argument),
        }
    }

    /// Whether the manager has to be asked instead of the value itself.
    pub(super) fn asks_manager(self, declared: &str) -> bool {
        match self {
            Self::FilterId
            | Self::Labels
            | Self::Tenants
            | Self::NamePattern
            | Self::DeploymentId => true,
            Self::ValidValues => belongs_to_deployment(declared),
            _ => false,
        }
    }

    /// The name under which the manager is asked; nothing when it cannot be asked about this type.
    pub(super) fn query(self, declared: &str) -> Option<&'static str> {
        let of_identifiers = matches!(declared, "blueprint_id" | "deployment_id");
        match self {
            Self::FilterId if of_identifiers => Some("filter_id"),
            Self::Labels if of_identifiers => Some("labels"),
            Self::Tenants if of_identifiers => Some("tenants"),
            Self::DeploymentId if belongs_to_deployment(declared) => Some("deployment_id"),
            Self::ValidValues if belongs_to_deployment(declared) => Some("valid_values"),
            Self::NamePattern => match declared {
                "blueprint_id" | "node_id" | "node_instance" => Some("id_specs"),
                "deployment_id" => Some("display_name_specs"),
                "secret_key" => Some("key_specs"),
                "node_type" => Some("type_specs"),
                "capability_value" => Some("capability_key_specs"),
                "scaling_group" => Some("scaling_group_name_specs"),
                "operation_name" => Some("operation_name_specs"),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a value satisfies the operator by itself.
    pub(super) fn holds(self, value: &Value, argument: &Value) -> bool {
        let ordered = |wanted: &[Ordering]| {
            compare(value, argument).is_some_and(|found| wanted.contains(&found))
        };
        let length = |wanted: fn(f64, f64) -> bool| match (length(value), number(argument)) {
            (Some(length), Some(limit)) => wanted(length, limit),
            _ => false,
        };
        match self {
            Self::Equal => ordered(&[Ordering::Equal]),
            Self::GreaterThan => ordered(&[Ordering::Greater]),
            Self::GreaterOrEqual => ordered(&[Ordering::Greater, Ordering::Equal]),
            Self::LessThan => ordered(&[Ordering::Less]),
            Self::LessOrEqual => ordered(&[Ordering::Less, Ordering::Equal]),
            Self::InRange => match argument.as_array().map(List::as_slice) {
                Some([low, high]) => {
                    compare(value, low).is_some_and(Ordering::is_ge)
                        && compare(value, high).is_some_and(Ordering::is_le)
                }
                _ => false,
            },
            Self::ValidValues => argument
                .as_array()
                .is_some_and(|items| items.iter().any(|item| equal(item, value))),
            Self::Length => length(|length, limit| length == limit),
            Self::MinLength => length(|length, limit| length >= limit),
            Self::MaxLength => length(|length, limit| length <= limit),
            Self::Pattern => match (value.as_str(), argument.as_str()) {
                (Some(text), Some(pattern)) => pattern::matches_start(pattern, text),
                _ => false,
            },
            Self::FilterId
            | Self::Labels
            | Self::Tenants
            | Self::NamePattern
            | Self::DeploymentId => false,
        }
    }
}

fn is_number(value: &Value) -> bool {
    number(value).is_some()
}

/// Booleans count as numbers.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        other => other.as_f64(),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return Some(left.cmp(&right));
    }
    number(left)?.partial_cmp(&number(right)?)
}

fn length(value: &Value) -> Option<f64> {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => return None,
    };
    u32::try_from(length).ok().map(f64::from)
}

/// Equality that knows no difference between true, 1 and 1.0.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ if is_number(left) && is_number(right) => compare(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}
