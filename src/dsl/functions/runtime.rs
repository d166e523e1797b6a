//! Evaluation against a running deployment.

use std::borrow::Cow;
use std::sync::Arc;

use crate::dsl::value::{Map, Value};

use super::call::{self, Call};
use super::evaluate::{Answer, Evaluator, Nested, Property, Source, find_property};
use super::fault::failed;
use super::instances::{instance_of, instances_of, node_of, party, party_of};
use super::kind::Kind;
use super::scope::{Party, Runtime, Scope};
use super::shape::dotted;
use super::storage::{Context, Storage};
use super::walk::{self, Walked};
use super::{fault, text};
use crate::dsl::{DslError, Exception};

/// Evaluates every function in a payload.
pub fn evaluate_runtime(
    storage: &dyn Storage,
    payload: &Value,
    context: &Context,
) -> Result<Value, DslError> {
    let of = |id: &Option<String>| id.as_deref().map(|id| party(storage, id)).transpose();
    let scope = Scope::Runtime(Box::new(Runtime {
        own: of(&context.own)?,
        source: of(&context.source)?,
        target: of(&context.target)?,
    }));
    evaluate_in(storage, payload, &scope)
}

/// Evaluates outputs. An attribute that cannot be resolved shows as an error in its place; an
/// output that is nothing but a secret that does not exist is left out.
pub fn evaluate_outputs(storage: &dyn Storage, outputs: &Map) -> Result<Map, DslError> {
    evaluate_each(storage, outputs, true)
}

/// Evaluates capabilities; one that is nothing but a secret that does not exist is left out.
pub fn evaluate_capabilities(storage: &dyn Storage, capabilities: &Map) -> Result<Map, DslError> {
    evaluate_each(storage, capabilities, false)
}

/// Evaluates the properties of a node, on behalf of one of its instances when that is known.
pub fn evaluate_node(
    storage: &dyn Storage,
    node: &Value,
    instance: Option<&str>,
) -> Result<Value, DslError> {
    let id = node.get("id").and_then(Value::as_str).unwrap_or_default();
    let scope = Scope::Node(Party {
        node: id.into(),
        instance: instance.map(Into::into),
    });
    let own = Deployed {
        storage,
        shown: Some(node),
    };
    let mut evaluated = node.clone();
    if let Some(properties) = evaluated.get_mut("properties") {
        *properties = Evaluator::new(&own).evaluate(properties.take(), &scope)?;
    }
    Ok(evaluated)
}

/// Evaluates the runtime properties of a node instance.
pub fn evaluate_node_instance(storage: &dyn Storage, instance: &Value) -> Result<Value, DslError> {
    let scope = Scope::Node(party_of(instance));
    let mut evaluated = instance.clone();
    if let Some(properties) = evaluated.get_mut("runtime_properties") {
        *properties = evaluate_in(storage, properties, &scope)?;
    }
    Ok(evaluated)
}

fn evaluate_in(storage: &dyn Storage, value: &Value, scope: &Scope) -> Result<Value, DslError> {
    let source = Deployed {
        storage,
        shown: None,
    };
    Evaluator::new(&source).evaluate(value.clone(), scope)
}

fn evaluate_each(
    storage: &dyn Storage,
    definitions: &Map,
    show_errors: bool,
) -> Result<Map, DslError> {
    let scope = Scope::Runtime(Box::default());
    let mut values = Map::new();
    for (name, definition) in definitions {
        let mut wrapped = Map::new();
        let value = definition.get("value").cloned().unwrap_or_default();
        let called = call::of(&value).map(|call| call.kind);
        wrapped.insert("value", value);
        match evaluate_in(storage, &Value::Object(wrapped), &scope) {
            Ok(mut evaluated) => {
                let value = evaluated.get_mut("value").map(Value::take);
                values.insert(name.clone(), value.unwrap_or_default());
            }
            Err(error)
                if called == Some(Kind::GetSecret)
                    && error.exception() == Exception::UnknownSecret => {}
            Err(error) if show_errors && error.exception() == Exception::FunctionEvaluation => {
                let shown = format!("<ERROR: {}>", error.first().message);
                values.insert(name.clone(), Value::from(shown));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}

/// A deployment as a source of answers, perhaps with one node as its caller shows it.
struct Deployed<'s> {
    storage: &'s dyn Storage,
    shown: Option<&'s Value>,
}

impl Source for Deployed<'_> {
    fn input(&self, name: &str) -> Result<Option<Cow<'_, Value>>, DslError> {
        Ok(self.storage.input(name)?.map(Cow::Owned))
    }

    fn properties(&self, node: &str) -> Result<Option<Cow<'_, Value>>, DslError> {
        if let Some(shown) = self.shown
            && shown.get("id").and_then(Value::as_str) == Some(node)
        {
            return Ok(shown.get("properties").map(Cow::Borrowed));
        }
        Ok(self.storage.node(node)?.map(|node| {
            let properties = node.get("properties").cloned();
            Cow::Owned(properties.unwrap_or_else(|| Value::Object(Map::new())))
        }))
    }

    fn ask(
        &self,
        call: &Call<'_>,
        scope: &Scope,
        evaluate: &mut Nested<'_>,
    ) -> Result<Option<Answer>, DslError> {
        ask(self.storage, call, scope, evaluate).map(Some)
    }
}

fn ask(
    storage: &dyn Storage,
    call: &Call<'_>,
    scope: &Scope,
    evaluate: &mut Nested<'_>,
) -> Result<Answer, DslError> {
    let path = match call.args {
        Value::Array(path) => path.as_slice(),
        single => std::slice::from_ref(single),
    };
    let value = match call.kind {
        Kind::GetAttribute => return attribute(storage, path, scope, evaluate),
        Kind::GetAttributesList => attributes_list(storage, path, scope, evaluate)?,
        Kind::GetAttributesDict => attributes_dict(storage, path, scope, evaluate)?,
        Kind::GetSecret => secret(storage, path)?,
        Kind::GetCapability => storage.capability(path)?,
        Kind::GetGroupCapability => storage.group_capability(path)?,
        Kind::GetEnvironmentCapability => storage.environment_capability(path)?,
        Kind::GetLabel => label(storage, path)?,
        Kind::GetSys => {
            let name = |at: usize| path.get(at).map(text::str).unwrap_or_default();
            storage.system(&name(0), &name(1))?
        }
        Kind::GetConsumers => storage.consumers(&text::str(call.args))?,
        other => {
            return Err(failed(format!("{} needs no deployment", other.name())));
        }
    };
    Ok(Answer {
        value,
        scope: scope.clone(),
    })
}

fn attribute(
    storage: &dyn Storage,
    path: &[Value],
    scope: &Scope,
    evaluate: &mut Nested<'_>,
) -> Result<Answer, DslError> {
    let (node, steps) = path.split_first().unwrap_or((&Value::Null, &[]));
    let instance = instance_of(storage, &text::str(node), scope)?;
    let value = attribute_of(storage, &instance, steps, evaluate)?;
    Ok(Answer {
        value,
        scope: Scope::Node(party_of(&instance)),
    })
}

/// The runtime property, else what the instance is, else the property of its node, else null.
fn attribute_of(
    storage: &dyn Storage,
    instance: &Value,
    steps: &[Value],
    evaluate: &mut Nested<'_>,
) -> Result<Value, DslError> {
    let scope = Scope::Node(party_of(instance));
    let none = Value::Null;
    let runtime_properties = instance.get("runtime_properties").unwrap_or(&none);
    let found = lookup(runtime_properties, steps, &scope, evaluate)?;
    if !found.is_null() {
        return Ok(found);
    }
    if let [Value::String(name)] = steps {
        match &**name {
            "node_instance_id" => return Ok(instance.get("id").cloned().unwrap_or_default()),
            "node_instance_index" => return Ok(instance.get("index").cloned().unwrap_or_default()),
            _ => {}
        }
    }
    let node: Option<Arc<Value>> = storage.node(&party_of(instance).node)?;
    let properties = node.as_ref().and_then(|node| node.get("properties"));
    lookup(properties.unwrap_or(&none), steps, &scope, evaluate)
}

/// The value a path leads to, or null; a call before the last step is evaluated, and the step taken
/// in its result.
fn lookup(
    value: &Value,
    steps: &[Value],
    scope: &Scope,
    evaluate: &mut Nested<'_>,
) -> Result<Value, DslError> {
    Ok(match find_property(value, steps) {
        None => Value::Null,
        Some(Property::Value(value)) => value.clone(),
        Some(Property::Inside(call, key)) => {
            let whole = evaluate(call.clone(), scope)?;
            match walk::walk(&whole, std::slice::from_ref(key)) {
                Walked::Found(value) => value.clone(),
                Walked::Missing(..) => Value::Null,
            }
        }
    })
}

fn attributes_list(
    storage: &dyn Storage,
    path: &[Value],
    scope: &Scope,
    evaluate: &mut Nested<'_>,
) -> Result<Value, DslError> {
    let (node, steps) = path.split_first().unwrap_or((&Value::Null, &[]));
    let node = node_of(&text::str(node), scope)?;
    instances_of(storage, &node)?
        .iter()
        .map(|instance| {
            let value = attribute_of(storage, instance, steps, evaluate)?;
            evaluate(value, &Scope::Node(party_of(instance)))
        })
        .collect::<Result<_, _>>()
        .map(Value::Array)
}

fn attributes_dict(
    storage: &dyn Storage,
    path: &[Value],
    scope: &Scope,
    evaluate: &mut Nested<'_>,
) -> Result<Value, DslError> {
    let (node, paths) = path.split_first().unwrap_or((&Value::Null, &[]));
    let node = node_of(&text::str(node), scope)?;
    let mut answer = Map::new();
    for instance in instances_of(storage, &node)? {
        let mut attributes = Map::new();
        for path in paths {
            let steps = match path {
                Value::Array(steps) => steps.as_slice(),
                single => std::slice::from_ref(single),
            };
            let value = attribute_of(storage, &instance, steps, evaluate)?;
            let value = evaluate(value, &Scope::Node(party_of(&instance)))?;
            attributes.insert(dotted(path).unwrap_or_default(), value);
        }
        let id = instance
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        answer.insert(id.to_owned(), Value::Object(attributes));
    }
    Ok(Value::Object(answer))
}

fn secret(storage: &dyn Storage, path: &[Value]) -> Result<Value, DslError> {
    let (name, steps) = path.split_first().unwrap_or((&Value::Null, &[]));
    let name = text::str(name);
    let value = storage.secret(&name)?.ok_or_else(|| {
        DslError::new(
            Exception::UnknownSecret,
            None,
            format!("secret '{name}' does not exist"),
        )
    })?;
    if steps.is_empty() {
        return Ok(value);
    }
    let parsed: Value = match &value {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| failed(format!("secret '{name}' holds no JSON: {error}")))?,
        other => other.clone(),
    };
    match walk::walk(&parsed, steps) {
        Walked::Found(found) => Ok(found.clone()),
        Walked::Missing(_, position) => Err(failed(format!(
            "secret '{name}' holds nothing at '{}'",
            walk::dotted(steps.get(..=position).unwrap_or(steps))
        ))),
    }
}

fn label(storage: &dyn Storage, path: &[Value]) -> Result<Value, DslError> {
    let key = path.first().map(text::str).unwrap_or_default();
    let values = storage
        .label(&key)?
        .ok_or_else(|| failed(format!("the deployment has no label '{key}'")))?;
    let Some(index) = path.get(1) else {
        return Ok(Value::from(values));
    };
    let at = match index {
        Value::String(digits) => digits.parse().ok(),
        other => walk::position(other, values.len()),
    };
    at.and_then(|at: usize| values.get(at).cloned())
        .ok_or_else(|| fault::failed(format!("label '{key}' has no value at {index}")))
}
