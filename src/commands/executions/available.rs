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

/// Workflows that others' use of a deployment stands against.
const DISTURBING: [&str; 5] = [
    "stop",
    "uninstall",
    "update",
    "csys_new_deployment_update",
    "heal",
];
/// How many reasons are told.
const TOLD_MAX: usize = 3;

/// Refuses a workflow whose availability rules do not hold.
///
/// # Errors
/// 400; database errors.
pub(super) async fn check(
    view: &store::View,
    deployment: &Deployment,
    (workflow_id, spec): (&str, &Map<String, Value>),
) -> Result<(), Error> {
    let Some(rules) = spec.get("availability_rules").and_then(Value::as_object) else {
        return Ok(());
    };
    if holds(view, deployment, rules).await? {
        return Ok(());
    }
    Err(Error::refused(
        ErrorCode::UnavailableWorkflow,
        format!("Workflow not available: {workflow_id}"),
    ))
}

async fn holds(
    view: &store::View,
    deployment: &Deployment,
    rules: &Map<String, Value>,
) -> Result<bool, Error> {
    if !matches!(
        rules.get("available"),
        None | Some(Value::Null | Value::Bool(true))
    ) {
        return Ok(false);
    }
    if let Some(wanted) = texts(rules, "node_instances_active") {
        let states = instance_states(view, deployment).await?;
        if !wanted.iter().any(|rule| fits(rule, &states)) {
            return Ok(false);
        }
    }
    let Some(types) = texts(rules, "node_types_required") else {
        return Ok(true);
    };
    let nodes: Vec<Node> = view.select_as(&within(View::Nodes, deployment)).await?;
    let has_type = |node: &Node| {
        node.type_hierarchy
            .iter()
            .any(|name| types.contains(&name.as_str()))
    };
    let own = |node: &&Node| node.tenant_name == deployment.tenant_name;
    Ok(nodes.iter().filter(own).any(has_type))
}

fn texts<'r>(rules: &'r Map<String, Value>, name: &str) -> Option<Vec<&'r str>> {
    let listed = rules.get(name)?.as_array()?;
    Some(listed.iter().filter_map(Value::as_str).collect())
}

/// Whether the states of a deployment's instances are as a rule wants them.
pub(super) fn fits(rule: &str, states: &[String]) -> bool {
    let all_started = states.iter().all(|state| state == "started");
    let nothing_there = states
        .iter()
        .all(|state| matches!(state.as_str(), "uninitialized" | "deleted"));
    match rule {
        "all" => all_started,
        "partial" => !states.is_empty() && !all_started && !nothing_there,
        "none" => !states.iter().any(|state| state == "started"),
        _ => false,
    }
}

fn within(of: View, deployment: &Deployment) -> ListQuery {
    let scope = Scope::Tenants {
        tenants: vec![deployment.tenant_name.clone()],
        user: String::new(),
        administered: vec![deployment.tenant_name.clone()],
    };
    ListQuery::all(of, scope).with(Condition::AnyOf(
        "deployment_id".to_owned(),
        vec![deployment.id.clone()],
    ))
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

/// Refuses a workflow that would disturb deployments that live in this one.
///
/// # Errors
/// 400; database errors.
pub(super) async fn check_dependents(
    view: &store::View,
    deployment: &Deployment,
    workflow_id: &str,
    parameters: &Map<String, Value>,
) -> Result<(), Error> {
    let is_recursive =
        workflow_id == "uninstall" && parameters.get("recursive") == Some(&Value::Bool(true));
    if !DISTURBING.contains(&workflow_id) || is_recursive {
        return Ok(());
    }
    let label = format!("csys-obj-parent={}", deployment.id);
    let query = ListQuery::all(View::Deployments, Scope::Everything)
        .with(Condition::Has("labels".to_owned(), vec![label]));
    let mut children: Vec<Deployment> = view.select_as(&query).await?;
    children.retain(|child| child.tenant_name == deployment.tenant_name);
    if children.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = children
        .iter()
        .take(TOLD_MAX)
        .enumerate()
        .map(|(at, child)| {
            let number = at + 1;
            format!(
                "[{number}] Deployment `{}` is the parent of deployment {}",
                deployment.id, child.id
            )
        })
        .collect();
    Err(Error::refused(
        ErrorCode::DependentExists,
        format!(
            "Can't execute workflow `{workflow_id}` on deployment {} - existing installations \
             depend on it:\n{}",
            deployment.id,
            told.join("\n")
        ),
    ))
}
