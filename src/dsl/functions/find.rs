//! Finding calls in a plan: the secrets and capabilities it needs.

use std::collections::BTreeSet;

use crate::dsl::value::{Map, Value, object};

use super::call::{self, Call};
use super::evaluate::Evaluator;
use super::kind::Kind;
use super::places::{self, Place};
use super::plan_source::PlanSource;
use super::survey::survey;
use crate::dsl::{DslError, Plan};

/// The secrets and the capabilities of its environment that a plan asks for.
pub(crate) fn requirements(plan: &Plan, places: &[Place]) -> Value {
    let (mut secrets, mut capabilities) = (Vec::new(), Vec::new());
    visit_plan(plan, places, &mut |call| match call.kind {
        Kind::GetSecret => secrets.push(call.args.clone()),
        Kind::GetEnvironmentCapability => capabilities.push(as_path(call.args.clone())),
        _ => {}
    });
    Value::Object(object! {"secrets": secrets, "parent_capabilities": capabilities})
}

/// The names of the secrets a plan asks for, as far as they are known.
pub(crate) fn secret_names(plan: &Plan, places: &[Place]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    visit_plan(plan, places, &mut |call| {
        if call.kind != Kind::GetSecret {
            return;
        }
        let name = match call.args {
            Value::Array(path) => path.first(),
            single => Some(single),
        };
        names.extend(name.and_then(Value::as_str).map(str::to_owned));
    });
    names
}

/// Evaluates the paths among the requirements of a plan, as evaluating the calls they come from
/// does.
pub(crate) fn evaluate_requirements(
    plan: &mut Plan,
    source: &PlanSource<'_>,
) -> Result<(), DslError> {
    let has_calls = |value: &Value| {
        let lists = value.as_object().into_iter().flat_map(Map::values);
        lists
            .filter_map(Value::as_array)
            .flatten()
            .any(Value::is_array)
    };
    if !plan.section("requirements").is_some_and(has_calls) {
        return Ok(());
    }
    let mut evaluator = Evaluator::new(source);
    let (mut secrets, mut capabilities) = (Vec::new(), Vec::new());
    for place in places::of(source.plan()) {
        let Some(value) = place.value(source.plan()) else {
            continue;
        };
        let mut arguments = Vec::new();
        visit_place(value, "", &mut |call, _| match call.kind {
            Kind::GetSecret | Kind::GetEnvironmentCapability => {
                arguments.push((call.kind, call.args.clone()));
            }
            _ => {}
        });
        for (kind, argument) in arguments {
            let argument = if argument.is_array() {
                evaluator.evaluate(argument, &place.scope)?
            } else {
                argument
            };
            match kind {
                Kind::GetSecret => secrets.push(argument),
                _ => capabilities.push(as_path(argument)),
            }
        }
    }
    let found = Value::Object(object! {"secrets": secrets, "parent_capabilities": capabilities});
    plan.set("requirements", found);
    Ok(())
}

fn as_path(argument: Value) -> Value {
    match argument {
        Value::Array(_) => argument,
        single => Value::from(vec![single]),
    }
}

fn visit_plan(plan: &Plan, places: &[Place], seen: &mut dyn FnMut(&Call<'_>)) {
    for place in places {
        if let Some(value) = place.value(plan) {
            visit_place(value, "", &mut |call, _| seen(call));
        }
    }
}

/// Calls of `get_capability` under a path: the path to each, ending in its name, and the deployment
/// it names.
pub(crate) fn capability_calls(value: &Value, path: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    visit_place(value, path, &mut |call, path| {
        if call.kind == Kind::GetCapability {
            let deployment = call.args.get(0).cloned().unwrap_or_default();
            found.push((format!("{path}.{}", Kind::GetCapability.name()), deployment));
        }
    });
    found
}

/// Visits the calls in a place, whose outermost map is none.
fn visit_place(value: &Value, path: &str, seen: &mut dyn FnMut(&Call<'_>, &str)) {
    match value {
        Value::Object(map) => {
            for (key, item) in map {
                visit(item, format!("{path}.{key}"), seen);
            }
        }
        other => visit(other, path.to_owned(), seen),
    }
}

/// Visits every call, arguments before the call they belong to.
fn visit(value: &Value, path: String, seen: &mut dyn FnMut(&Call<'_>, &str)) {
    if !survey(value).has_calls {
        return;
    }
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, format!("{path}[{index}]"), seen);
            }
        }
        Value::Object(map) => visit_map(map, &path, seen),
        _ => {}
    }
}

fn visit_map(map: &Map, path: &str, seen: &mut dyn FnMut(&Call<'_>, &str)) {
    for (key, item) in map {
        visit(item, format!("{path}.{key}"), seen);
    }
    if let Some(call) = call::recognise(map) {
        seen(&call, path);
    }
}
