//! Interfaces and operations: their normal form, and how a template's lie over a type's.

use crate::dsl::value::{Map, Value, object};
use indexmap::IndexMap;
use std::cell::OnceCell;
use std::sync::Arc;

use super::context::{Context, map, or_null, text};
use super::inputs;
use super::operations::Applied;
use super::values::DataTypes;
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

/// One operation in normal form. Of a type, `inputs` holds schemas; of a template, values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Operation {
    pub implementation: String,
    pub inputs: Map,
    pub settings: Settings,
}

/// How an operation is run; null is not stated.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub executor: Value,
    pub max_retries: Value,
    pub retry_interval: Value,
    pub timeout: Value,
    pub timeout_recoverable: Value,
}

/// Interface by name, operation by name.
pub(super) type Interfaces = IndexMap<Arc<str>, IndexMap<Arc<str>, Operation>>;

/// The interfaces of a type, and what they come to in templates that add nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct OfType {
    pub interfaces: Interfaces,
    pub plain: OnceCell<Applied>,
}

/// Whose interfaces are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'a> {
    /// A type: inputs are schemas.
    Type(&'a DataTypes),
    /// A template: inputs are values.
    Template,
}

pub(super) fn read(
    context: &Context<'_>,
    written: Option<&Value>,
    owner: Owner<'_>,
    path: &Path,
) -> Result<Interfaces, Diagnostic> {
    let mut interfaces = Interfaces::new();
    for (interface, operations) in map(written) {
        let below = path.then(interface);
        let mut result = IndexMap::new();
        for (name, operation) in map(Some(operations)) {
            let operation = one(context, operation, owner, &below.then(name))?;
            result.insert(name.clone(), operation);
        }
        interfaces.insert(interface.clone(), result);
    }
    Ok(interfaces)
}

fn one(
    context: &Context<'_>,
    written: &Value,
    owner: Owner<'_>,
    path: &Path,
) -> Result<Operation, Diagnostic> {
    if let Some(implementation) = written.as_str() {
        return Ok(Operation {
            implementation: implementation.to_owned(),
            ..Operation::default()
        });
    }
    let fields = map(Some(written));
    let settings = settings(context, fields, path)?;
    let written_inputs = map(fields.get("inputs"));
    let inputs = match owner {
        Owner::Template => written_inputs.clone(),
        Owner::Type(types) => {
            inputs::schemas(context, written_inputs, types, &path.then("inputs"))?
        }
    };
    let implementation = text(fields, "implementation")
        .unwrap_or_default()
        .to_owned();
    Ok(Operation {
        implementation,
        inputs,
        settings,
    })
}

fn settings(context: &Context<'_>, fields: &Map, path: &Path) -> Result<Settings, Diagnostic> {
    if let Some(executor) = text(fields, "executor")
        && !matches!(executor, "central_deployment_agent" | "host_agent")
    {
        let message = format!("'{executor}' is not an executor of operations");
        return Err(context
            .logic(28, message, path.then("executor"))
            .expected("central_deployment_agent or host_agent")
            .did_you_mean(executor, ["central_deployment_agent", "host_agent"]));
    }
    for (key, least) in [
        ("max_retries", -1.0),
        ("retry_interval", 0.0),
        ("timeout", 0.0),
    ] {
        if fields
            .get(key)
            .and_then(Value::as_f64)
            .is_some_and(|number| number < least)
        {
            let message = format!("'{key}' is too small");
            let exception = Exception::Uncontrolled("ValueError");
            return Err(context
                .diagnostic(exception, None, message, path.then(key))
                .expected(format!("a number not below {least}")));
        }
    }
    Ok(Settings {
        executor: or_null(fields, "executor"),
        max_retries: or_null(fields, "max_retries"),
        retry_interval: or_null(fields, "retry_interval"),
        timeout: or_null(fields, "timeout"),
        timeout_recoverable: or_null(fields, "timeout_recoverable"),
    })
}

impl Settings {
    /// These, and where they are silent the others.
    fn or(&self, other: &Self) -> Self {
        let pick = |own: &Value, other: &Value| {
            if own.is_null() {
                other.clone()
            } else {
                own.clone()
            }
        };
        Self {
            executor: pick(&self.executor, &other.executor),
            max_retries: pick(&self.max_retries, &other.max_retries),
            retry_interval: pick(&self.retry_interval, &other.retry_interval),
            timeout: pick(&self.timeout, &other.timeout),
            timeout_recoverable: pick(&self.timeout_recoverable, &other.timeout_recoverable),
        }
    }
}

impl Operation {
    /// Nothing is run and nothing is said.
    fn is_no_op(&self) -> bool {
        *self == Self::default()
    }

    fn to_value(&self) -> Value {
        let Settings {
            executor,
            max_retries,
            retry_interval,
            timeout,
            timeout_recoverable,
        } = &self.settings;
        Value::Object(object! {
            "implementation": &self.implementation,
            "inputs": &self.inputs,
            "executor": executor,
            "max_retries": max_retries,
            "retry_interval": retry_interval,
            "timeout": timeout,
            "timeout_recoverable": timeout_recoverable,
        })
    }
}

pub(super) fn to_value(interfaces: &Interfaces) -> Value {
    let operations = |operations: &IndexMap<Arc<str>, Operation>| -> Value {
        let pairs = operations
            .iter()
            .map(|(name, operation)| (name.clone(), operation.to_value()));
        Value::Object(pairs.collect())
    };
    let pairs = interfaces
        .iter()
        .map(|(name, inner)| (name.clone(), operations(inner)));
    Value::Object(pairs.collect())
}

/// A type over its parent: an operation is taken whole from the child, if the child has it.
pub(super) fn inherit(own: Interfaces, parent: &Interfaces) -> Interfaces {
    let mut result = own;
    for (interface, operations) in parent {
        let own = result.entry(interface.clone()).or_default();
        for (name, operation) in operations {
            own.entry(name.clone()).or_insert_with(|| operation.clone());
        }
    }
    result
}

/// A template over its type. `path` leads to the template's interfaces.
pub(super) fn apply(
    context: &Context<'_>,
    template: &Interfaces,
    of_type: &Interfaces,
    path: &Path,
) -> Result<Interfaces, Diagnostic> {
    let mut result = Interfaces::new();
    let names = of_type.keys().chain(template.keys());
    for interface in names {
        if result.contains_key(interface) {
            continue;
        }
        let below = path.then(interface);
        let (own, inherited) = (template.get(interface), of_type.get(interface));
        let mut operations = IndexMap::new();
        for name in inherited.into_iter().chain(own).flat_map(IndexMap::keys) {
            if operations.contains_key(name) {
                continue;
            }
            let own = own.and_then(|operations| operations.get(name));
            let inherited = inherited.and_then(|operations| operations.get(name));
            let merged = merge(own, inherited)
                .map_err(|missing| missing_input(context, &missing, &below.then(name)))?;
            operations.insert(name.clone(), merged);
        }
        result.insert(interface.clone(), operations);
    }
    Ok(result)
}

fn missing_input(context: &Context<'_>, name: &str, path: &Path) -> Diagnostic {
    let message = format!("the operation's input '{name}' has no value");
    context
        .logic(107, message, path.then("inputs"))
        .expected(format!("a value for '{name}', which the type requires"))
}

/// The operation that results; or the name of an input that is left without a value.
fn merge(own: Option<&Operation>, inherited: Option<&Operation>) -> Result<Operation, String> {
    let (own, inherited) = match (own, inherited) {
        (Some(own), None) => return Ok(own.clone()),
        (None, Some(inherited)) => {
            let inputs = fill_inputs(&Map::new(), &inherited.inputs)?;
            return Ok(Operation {
                inputs,
                ..inherited.clone()
            });
        }
        (None, None) => return Ok(Operation::default()),
        (Some(own), Some(inherited)) => (own, inherited),
    };
    if own.is_no_op() || inherited.is_no_op() {
        return Ok(own.clone());
    }
    let implementation = if own.implementation.is_empty() {
        inherited.implementation.clone()
    } else {
        own.implementation.clone()
    };
    if implementation != inherited.implementation {
        return Ok(Operation {
            implementation,
            ..own.clone()
        });
    }
    let inputs = fill_inputs(&own.inputs, &inherited.inputs)?;
    let settings = own.settings.or(&inherited.settings);
    Ok(Operation {
        implementation,
        inputs,
        settings,
    })
}

/// The schema's defaults with the given values over them. A map under an input of a declared type
/// is told the type.
fn fill_inputs(given: &Map, schema: &Map) -> Result<Map, String> {
    let mut result = Map::new();
    for (name, input) in schema {
        let input = map(Some(input));
        let value = given.get(name).or_else(|| input.get("default"));
        let mut value = value.ok_or_else(|| name.as_ref().to_owned())?.clone();
        if let (Some(items), Some(declared)) = (value.as_object_mut(), text(input, "type")) {
            items.insert("type", declared.into());
        }
        result.insert(name.clone(), value);
    }
    for (name, value) in given {
        result.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(result)
}
