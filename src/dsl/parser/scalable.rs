//! How many instances: of nodes and of scaling groups.

use crate::dsl::value::{Map, Value, object};

use super::context::{Context, is_function};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// No upper limit.
const UNBOUNDED: i64 = -1;

/// The instances of a node template, by its capabilities or by the older `instances`.
pub(super) fn of_node(
    context: &Context<'_>,
    fields: &Map,
    path: &Path,
) -> Result<Value, Diagnostic> {
    let given = |key: &str| fields.get(key).filter(|value| !value.is_null());
    let (instances, capabilities) = (given("instances"), given("capabilities"));
    if instances.is_some() && capabilities.is_some() {
        let message = "the node template has both instances and capabilities".to_owned();
        return Err(context
            .logic(209, message, path.clone())
            .expected("capabilities alone"));
    }
    let Some(deploy) = instances.and_then(|instances| instances.get("deploy")) else {
        let properties = capabilities
            .and_then(|capabilities| capabilities.get("scalable")?.get("properties")?.as_object());
        let below = path
            .then("capabilities")
            .then("scalable")
            .then("properties");
        return properties_of(context, properties, &below);
    };
    if count(deploy) < 0 {
        let message = "a node cannot have fewer than no instances".to_owned();
        let below = path.then("instances").then("deploy");
        return Err(context
            .diagnostic(Exception::Format, 1, message, below)
            .expected("an integer not below 0"));
    }
    Ok(Value::Object(object! {
        "min_instances": 0,
        "max_instances": UNBOUNDED,
        "default_instances": deploy,
        "current_instances": deploy,
        "planned_instances": deploy,
    }))
}

/// The properties of a scalable thing with their defaults. Functions are left to be evaluated.
pub(super) fn properties_of(
    context: &Context<'_>,
    written: Option<&Map>,
    path: &Path,
) -> Result<Value, Diagnostic> {
    let value = |key: &str, default: i64| {
        let value = written
            .and_then(|written| written.get(key))
            .filter(|value| !value.is_null());
        value.cloned().unwrap_or_else(|| default.into())
    };
    let default = value("default_instances", 1);
    let least = value("min_instances", 0);
    let mut most = value("max_instances", UNBOUNDED);
    for (key, value) in [
        ("default_instances", &default),
        ("min_instances", &least),
        ("max_instances", &most),
    ] {
        if value.is_object() && !is_function(value) {
            let message = format!("'{key}' is a map that is no function");
            return Err(context
                .logic(210, message, path.then(key))
                .expected("an integer"));
        }
    }
    if let Some(text) = most.as_str() {
        if text != "UNBOUNDED" {
            let message = format!("'{text}' is no number of instances");
            return Err(context
                .logic(208, message, path.then("max_instances"))
                .expected("an integer or UNBOUNDED"));
        }
        most = UNBOUNDED.into();
    }
    check_limits(context, [&default, &least, &most], path)?;
    Ok(Value::Object(object! {
        "min_instances": least,
        "max_instances": most,
        "default_instances": &default,
        "current_instances": &default,
        "planned_instances": &default,
    }))
}

fn check_limits(
    context: &Context<'_>,
    [default, least, most]: [&Value; 3],
    path: &Path,
) -> Result<(), Diagnostic> {
    let plain = |value: &Value| (!value.is_object()).then(|| count(value));
    let (default, least, most) = (plain(default), plain(least), plain(most));
    let limit = most.filter(|most| *most != UNBOUNDED);
    let exceeds =
        |value: Option<i64>, limit: Option<i64>| value.zip(limit).is_some_and(|(v, l)| v > l);
    let problem = if default.is_some_and(|default| default < 0) {
        Some(("default_instances", "default_instances is below 0"))
    } else if least.is_some_and(|least| least < 0) {
        Some(("min_instances", "min_instances is below 0"))
    } else if limit.is_some_and(|most| most < 1) {
        Some(("max_instances", "max_instances is below 1"))
    } else if exceeds(least, default) {
        Some((
            "default_instances",
            "default_instances is below min_instances",
        ))
    } else if exceeds(least, limit) {
        Some(("min_instances", "min_instances is above max_instances"))
    } else if exceeds(default, limit) {
        Some((
            "default_instances",
            "default_instances is above max_instances",
        ))
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some((key, message)) => Err(context
            .logic(207, message.to_owned(), path.then(key))
            .expected("min_instances <= default_instances <= max_instances")),
    }
}

/// A number of instances; a boolean counts as 0 or 1, as it does in the reference.
fn count(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        _ => value.as_i64().unwrap_or_default(),
    }
}
