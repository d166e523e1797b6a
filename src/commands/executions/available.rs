//! Whether a workflow can be started on a deployment as it is.
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{deployments::Deployment, nodes::Node},
};

use crate::{
    error::{Error, ErrorCode},
    store,
};

/// What availability rules look at.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// States that occur among the instances of a deployment.
    pub(super) instance_states: Vec<String>,
    /// Types that occur among its nodes.
    pub(super) node_types: Vec<String>,
}

impl Surroundings {
    /// Reads what the rules of some workflows ask for.
    ///
    /// # Errors
    /// Database errors.
    pub(crate) async fn read<'s>(
        view: &store::View,
        deployment: &Deployment,
        specs: impl Iterator<Item = &'s Map<String, Value>> + Clone,
    ) -> Result<Self, Error> {
        let asks = |name: &str| {
            let mut rules = specs.clone().filter_map(rules);
            rules.any(|rules| rules.contains_key(name))
        };
        let mut found = Self::default();
        if asks("node_instances_active") {
            found.instance_states = instance_states(view, deployment).await?;
        }
        if asks("node_types_required") {
            let nodes: Vec<Node> = view.select_as(&within(View::Nodes, deployment)).await?;
            let types = nodes.into_iter().flat_map(|node| node.type_hierarchy);
            found.node_types = types.collect();
        }
        Ok(found)
    }

    /// Whether every rule of a workflow holds.
    pub(crate) fn admit(&self, spec: &Map<String, Value>) -> bool {
        let Some(rules) = rules(spec) else {
            return true;
        };
        let is_available = matches!(
            rules.get("available"),
            None | Some(Value::Null | Value::Bool(true))
        );
        let any = |name: &str, holds: &dyn Fn(&str) -> bool| {
            let listed = rules.get(name).and_then(Value::as_array);
            listed.is_none_or(|listed| listed.iter().filter_map(Value::as_str).any(holds))
        };
        is_available
            && any("node_instances_active", &|rule| self.are_active(rule))
            && any("node_types_required", &|name| {
                self.node_types.iter().any(|known| known == name)
            })
    }

    /// Whether the instances are as a rule wants them.
    fn are_active(&self, rule: &str) -> bool {
        let states = &self.instance_states;
        let all_started = states.iter().all(|state| state == "started");
        let nothing_there = states
            .iter()
            .all(|state| matches!(state.as_str(), "uninitialized" | "deleted"));
        match rule {
            "all" => all_started,
            "partial" => !all_started && !nothing_there,
            "none" => !states.iter().any(|state| state == "started"),
            _ => false,
        }
    }
}

fn rules(spec: &Map<String, Value>) -> Option<&Map<String, Value>> {
    spec.get("availability_rules")?.as_object()
}

/// Refuses a workflow whose availability rules do not hold.
///
/// # Errors
/// 400; database errors.
pub(super) async fn check(
    view: &store::View,
    deployment: &Deployment,
    (workflow_id, spec): (&str, &Map<String, Value>),
) -> Result<(), Error> {
    let surroundings = Surroundings::read(view, deployment, [spec].into_iter()).await?;
    if surroundings.admit(spec) {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::UnavailableWorkflow,
        format!("Workflow not available: {workflow_id}"),
    ))
}

fn within(of: View, deployment: &Deployment) -> ListQuery {
    let is = |field: &str, value: &str| Condition::AnyOf(field.to_owned(), vec![value.to_owned()]);
    ListQuery::all(of, Scope::Everything)
        .with(is("deployment_id", &deployment.id))
        .with(is("tenant_name", &deployment.tenant_name))
}

/// The states that occur among a deployment's instances.
pub(super) async fn instance_states(
    view: &store::View,
    deployment: &Deployment,
) -> Result<Vec<String>, Error> {
    let groups = view
        .group(&within(View::NodeInstances, deployment), &["state"])
        .await?;
    Ok(groups
        .into_iter()
        .filter_map(|(mut values, _)| values.pop().flatten())
        .collect())
}
