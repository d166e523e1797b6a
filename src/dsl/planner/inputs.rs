//! Setting the inputs of a deployment.

use crate::dsl::value::{Map, Value};

use super::prepare::PrepareOptions;
use crate::dsl::constraints::{ValuesGetter, auto_correct, check_value, default_of_type};
use crate::dsl::functions::{Delivered, contains_call};
use crate::dsl::parser::{Misfit, fit};
use crate::dsl::{Diagnostic, DslError, Exception, Path, Plan};

/// The value of every input the plan defines.
pub(super) fn set(
    plan: &Plan,
    options: &PrepareOptions,
    getter: Option<&dyn ValuesGetter>,
) -> Result<Map, DslError> {
    let none = Map::new();
    let defined = plan.object("inputs").unwrap_or(&none);
    let data_types = plan.object("data_types").unwrap_or(&none);
    let mut values = Map::new();
    let mut missing = Vec::new();
    for (name, schema) in defined {
        let declared = schema.get("type").and_then(Value::as_str);
        let Some(value) = choose(name, schema, &options.inputs, data_types) else {
            if schema.get("required") == Some(&Value::Bool(false)) {
                values.insert(name.clone(), Value::Null);
            } else {
                missing.push(&**name);
            }
            continue;
        };
        let value = if options.auto_correct_types {
            auto_correct(&value, declared)
        } else {
            value
        };
        check_value(name, schema, &value, getter)?;
        let value =
            fit(&value, declared, data_types).map_err(|misfit| as_input_error(name, misfit))?;
        values.insert(name.clone(), value);
    }
    if !missing.is_empty() {
        return Err(DslError::new(
            Exception::MissingRequiredInput,
            None,
            format!("required inputs are missing: {}", missing.join(", ")),
        ));
    }
    let unknown = options
        .inputs
        .keys()
        .filter(|name| !defined.contains_key(name));
    let unknown = unknown.map(|name| {
        Diagnostic::new(
            Exception::UnknownInput,
            None,
            format!("unknown input '{name}'"),
        )
        .did_you_mean(name, defined.names())
    });
    DslError::from_all(unknown.collect()).map_or(Ok(values), Err)
}

/// The value given, else the default, else what the defaults of its data type make.
fn choose(name: &str, schema: &Value, given: &Map, data_types: &Map) -> Option<Value> {
    if let Some(value) = given.get(name) {
        return Some(value.clone());
    }
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        return Some(default.clone());
    }
    default_of_type(schema.get("type")?.as_str()?, data_types)
}

/// The inputs with the calls in them evaluated as far as someone asked for them.
pub(super) fn show_delivered(mut inputs: Map, delivered: Vec<Delivered>) -> Map {
    for part in delivered {
        let mut place = inputs.get_mut(&part.input);
        for step in &part.path {
            place = place.and_then(|value| match value {
                Value::Object(map) => map.get_mut(step.as_str()?),
                Value::Array(items) => items.get_mut(usize::try_from(step.as_u64()?).ok()?),
                _ => None,
            });
        }
        if let Some(place) = place.filter(|value| contains_call(value)) {
            *place = part.value;
        }
    }
    inputs
}

/// What would be an error of the blueprint is one of the input.
fn as_input_error(name: &str, misfit: Misfit) -> DslError {
    let mut path = Path::from(["inputs", name]);
    path.0.extend(misfit.path.0);
    let message = format!("input '{name}': {}", misfit.message);
    let mut diagnostic = Diagnostic::new(Exception::Parsing, 214, message).path(path);
    diagnostic.expected = misfit.expected;
    diagnostic.suggestion = misfit.suggestion;
    diagnostic.into()
}
