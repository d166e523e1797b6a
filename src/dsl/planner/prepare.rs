//! From a parsed plan to the plan of a deployment.

use crate::dsl::value::{Map, Value};

use super::ids::IdSource;
use super::{inputs, instances, inter_deployment};
use crate::dsl::constraints::ValuesGetter;
use crate::dsl::functions::{self, Place, PlanSource};
use crate::dsl::{DslError, Exception, Plan};

/// How a plan is prepared.
#[derive(Debug, Clone, Default)]
pub struct PrepareOptions {
    pub inputs: Map,
    /// Leave every function to be evaluated at runtime.
    pub runtime_only_evaluation: bool,
    /// Read strings as the numbers and booleans that inputs are declared to be.
    pub auto_correct_types: bool,
    /// Ids of node instances that exist already.
    pub taken_ids: Vec<String>,
}

/// What a manager knows and a plan does not.
pub trait Getters {
    /// Whether a secret exists; nothing when secrets cannot be asked for at all.
    fn has_secret(&self, name: &str) -> Option<Result<bool, DslError>>;

    /// What object-typed inputs are checked against.
    fn values(&self) -> Option<&dyn ValuesGetter> {
        None
    }
}

/// Sets the inputs, evaluates functions, checks secrets, makes the node instances and notes which
/// deployments this one depends on.
pub fn prepare(
    plan: &Plan,
    options: &PrepareOptions,
    getters: &dyn Getters,
    ids: &mut dyn IdSource,
) -> Result<Plan, DslError> {
    let mut prepared = plan.clone();
    let given = inputs::set(plan, options, getters.values())?;
    let delivered = functions::evaluate_plan(
        &mut prepared,
        &PlanSource::new(plan, &given),
        options.runtime_only_evaluation,
    )?;
    let given = inputs::show_delivered(given, delivered);
    prepared.set("inputs", Value::Object(given));
    let places = functions::places(&prepared);
    check_secrets((&prepared, &places), getters)?;
    let taken = options.taken_ids.iter().cloned();
    let node_instances = instances::instances(&prepared, ids, taken)?;
    let dependencies = inter_deployment::find((&prepared, &places), &node_instances);
    prepared.set("node_instances", Value::from(node_instances));
    prepared.set("inter_deployment_functions", Value::from(dependencies));
    Ok(prepared)
}

fn check_secrets((plan, places): (&Plan, &[Place]), getters: &dyn Getters) -> Result<(), DslError> {
    let mut missing = Vec::new();
    for name in functions::secret_names(plan, places) {
        match getters.has_secret(&name) {
            None => {
                return Err(DslError::new(
                    Exception::UnsupportedGetSecret,
                    None,
                    format!("secret '{name}' is needed, but secrets cannot be read here"),
                ));
            }
            Some(found) => {
                if !found? {
                    missing.push(name);
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(DslError::new(
        Exception::UnknownSecret,
        None,
        format!("required secrets do not exist: {}", missing.join(", ")),
    ))
}
