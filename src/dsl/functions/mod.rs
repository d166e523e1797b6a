//! Intrinsic functions: recognising, checking and evaluating them.
//!
//! A blueprint is checked once it is parsed (`validate`), a plan is evaluated as far as the plan
//! itself holds the answers (`evaluate_plan`, on behalf of the planner), and what remains is
//! evaluated against a running deployment.

mod call;
mod evaluate;
mod fault;
mod find;
mod instances;
mod kind;
mod places;
mod plan_source;
mod runtime;
mod scope;
mod shape;
mod storage;
mod strings;
mod survey;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod validate;
mod walk;

use crate::dsl::value::Value;

use evaluate::Evaluator;
use kind::Kind;

pub use runtime::{
    evaluate_capabilities, evaluate_node, evaluate_node_instance, evaluate_outputs,
    evaluate_runtime,
};
pub use storage::{Context, Storage};

pub(crate) use call::{contains_call, is_call};
pub(crate) use evaluate::Delivered;
pub(crate) use find::{capability_calls, requirements, secret_names};
pub(crate) use places::{Place, of as places};
pub(crate) use plan_source::PlanSource;
pub(crate) use scope::Scope;
pub(crate) use validate::validate;

use super::{DslError, Plan};

/// Whether a map key names an intrinsic function.
pub fn is_name(name: &str) -> bool {
    Kind::from_name(name).is_some()
}

/// Evaluates every place of a plan that may hold calls; operations in which calls remain are
/// marked. What became of inputs that hold calls themselves is handed back.
pub(crate) fn evaluate_plan(
    plan: &mut Plan,
    source: &PlanSource<'_>,
    runtime_only: bool,
) -> Result<Vec<Delivered>, DslError> {
    let mut evaluator = Evaluator::new(source);
    for place in places::of(plan) {
        let Some(value) = place.value_mut(plan) else {
            continue;
        };
        if !runtime_only {
            *value = evaluator
                .evaluate(value.take(), &place.scope)
                .map_err(|error| at(error, &place.path))?;
        }
        let remain = call::contains_call(value);
        let shown = place.is_shown().then(|| value.clone());
        if remain && let Some(operation) = place.operation_mut(plan) {
            operation.insert("has_intrinsic_functions", Value::Bool(true));
        }
        if let (Some(inputs), Some(interface)) = (shown, place.shown_mut(plan)) {
            *interface = inputs;
        }
    }
    if !runtime_only {
        find::evaluate_requirements(plan, source)?;
    }
    Ok(evaluator.into_delivered())
}

/// Says where an error happened, unless it knows already.
fn at(error: DslError, path: &str) -> DslError {
    let located = error.into_diagnostics().into_iter().map(|diagnostic| {
        if diagnostic.path.0.is_empty() {
            diagnostic.path(super::Path::from([path]))
        } else {
            diagnostic
        }
    });
    DslError::from_all(located.collect()).expect("an error holds at least one diagnostic")
}
