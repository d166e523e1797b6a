//! Parameters that name objects of the manager: they must be there.
use serde_json::{Map, Value};
use stratalog_projections::views::deployments::Deployment;

use super::parameters::illegal;
use crate::{
    commands::{lookups::Lookups, secrets::Opener},
    dsl::constraints::{check_value, is_object_type},
    error::Error,
    store::View,
};

/// Refuses names of objects that are not there: those of nodes and the like in the deployment.
///
/// # Errors
/// 400 `illegal_execution_parameters_error`; database errors.
pub(super) async fn check(
    view: &View,
    opener: Opener<'_>,
    deployment: &Deployment,
    (spec, given): (Option<&Map<String, Value>>, &Map<String, Value>),
) -> Result<(), Error> {
    let declared = spec.and_then(|spec| spec.get("parameters")?.as_object());
    let named: Vec<(&str, &Value, &Value)> = declared
        .into_iter()
        .flatten()
        .filter(|(_, spec)| names_objects(spec))
        .filter_map(|(name, spec)| Some((name.as_str(), spec, given.get(name)?)))
        // functions are evaluated when the workflow runs
        .filter(|(_, _, value)| !value.is_null() && !value.is_object())
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut lookups = Lookups::in_deployment(&deployment.id);
    loop {
        let checked = named.iter().try_for_each(|(name, spec, value)| {
            let (spec, value) = ((*spec).into(), (*value).into());
            check_value(name, &spec, &value, Some(&lookups)).map_err(|error| {
                illegal(format!(
                    "Parameter \"{name}\" does not meet its constraints: {error}"
                ))
            })
        });
        if !lookups.fill_from(view, opener).await? {
            return checked;
        }
    }
}

/// Whether values are looked up. Items of a list are only where it has constraints: clients of the
/// reference give lists as texts, which would be taken apart.
pub(super) fn names_objects(spec: &Value) -> bool {
    let constraints = spec.get("constraints").and_then(Value::as_array);
    let has_constraints = constraints.is_some_and(|constraints| !constraints.is_empty());
    let is_object = |key: &str| {
        spec.get(key)
            .and_then(Value::as_str)
            .is_some_and(is_object_type)
    };
    is_object("type") || (has_constraints && is_object("item_type"))
}
