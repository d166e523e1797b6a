//! Modifications of deployments: more or fewer instances of nodes and scaling groups. What is added
//! appears at the start; what is removed goes when the modification is finished.
mod end;
mod start;
mod whole;

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, View as ViewName,
    views::{deployment_modifications::DeploymentModification, deployments::Deployment},
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{DeploymentChanged, NodeChanged},
};

pub use end::{End, end};
pub use start::{NewModification, start};
pub(super) use whole::{Whole, added, documents, extend, marked, modified, related_to};

use super::{deployments, json::object};
use crate::{
    clock,
    error::Error,
    store::{Decision, View},
};

/// View and the name that clients see in messages.
pub const MODEL: (ViewName, &str) = (ViewName::DeploymentModifications, "DeploymentModification");

/// Status of one that goes on.
pub const STARTED: &str = "started";

fn stream(tenant: &str, id: &str) -> StreamId {
    StreamId::scoped(Category::DeploymentModification, tenant, id)
}

fn deployment_stream(deployment: &Deployment) -> StreamId {
    deployments::stream(&deployment.tenant_name, &deployment.id)
}

fn of(view: ViewName, deployment: &Deployment) -> ListQuery {
    deployments::belonging(view, (&deployment.tenant_name, &deployment.id))
}

/// Modifications of a deployment that go on.
///
/// # Errors
/// Database errors.
pub async fn started(
    view: &View,
    deployment: &Deployment,
) -> Result<Vec<DeploymentModification>, Error> {
    let started = Condition::AnyOf("status".to_owned(), vec![STARTED.to_owned()]);
    let query = of(ViewName::DeploymentModifications, deployment).with(started);
    Ok(view.select_as(&query).await?)
}

/// The modification that an execution started.
///
/// # Errors
/// Database errors.
pub async fn of_execution(
    view: &View,
    deployment: &Deployment,
    execution_id: &str,
) -> Result<Option<DeploymentModification>, Error> {
    let query = of(ViewName::DeploymentModifications, deployment);
    let all: Vec<DeploymentModification> = view.select_as(&query).await?;
    for modification in all {
        let context = object(modification.context.as_ref())?;
        if context.get("execution_id").and_then(Value::as_str) == Some(execution_id) {
            return Ok(Some(modification));
        }
    }
    Ok(None)
}

/// Instances that a modification adds, extends, reduces or removes (`mark`).
///
/// # Errors
/// `Internal` for a stored document of another shape.
pub fn instances(
    modification: &DeploymentModification,
    mark: &'static str,
) -> Result<BTreeSet<String>, Error> {
    let all = object(modification.node_instances.as_ref())?;
    let part = all.get(&format!("{mark}_and_related"));
    let part = part
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    Ok(marked(part, mark)
        .filter_map(|one| one.get("id")?.as_str().map(str::to_owned))
        .collect())
}

/// Which numbers of instances of nodes and scaling groups are set.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// Those there should be.
    Planned,
    /// Those there are, to those there should be.
    Reached,
    /// Those there should be, back to those there are.
    Restored,
}

/// Adds the changed numbers of the modified nodes and groups to a decision.
fn count(
    decision: &mut Decision,
    whole: &Whole,
    modified: &Map<String, Value>,
    kind: Count,
) -> Result<(), Error> {
    let deployment = &whole.deployment;
    for node in whole
        .nodes
        .iter()
        .filter(|node| modified.contains_key(&node.id))
    {
        let wanted = modified
            .get(&node.id)
            .and_then(|node| node.get("instances")?.as_i64());
        let mut event = NodeChanged {
            deployment_id: deployment.id.clone(),
            tenant: deployment.tenant_name.clone(),
            id: node.id.clone(),
            ..NodeChanged::default()
        };
        match kind {
            Count::Planned => event.planned_number_of_instances = wanted,
            Count::Reached => event.number_of_instances = Some(node.planned_number_of_instances),
            Count::Restored => {
                event.planned_number_of_instances = Some(node.number_of_instances);
            }
        }
        decision.event(deployment_stream(deployment), Event::NodeChanged(event));
    }
    let mut groups = whole.scaling_groups()?;
    let mut is_changed = false;
    for (name, group) in &mut groups {
        let Some(wanted) = modified.get(name).and_then(|group| group.get("instances")) else {
            continue;
        };
        let Some(Value::Object(properties)) = group.get_mut("properties") else {
            continue;
        };
        is_changed = true;
        let own = |name: &str| properties.get(name).cloned().unwrap_or(1.into());
        let (name, value) = match kind {
            Count::Planned => ("planned_instances", wanted.clone()),
            Count::Reached => ("current_instances", own("planned_instances")),
            Count::Restored => ("planned_instances", own("current_instances")),
        };
        properties.insert(name.to_owned(), value);
    }
    if is_changed {
        let event = DeploymentChanged {
            id: deployment.id.clone(),
            tenant: deployment.tenant_name.clone(),
            updated_at_ms: clock::now_ms(),
            scaling_groups_json: Some(Value::from(groups).to_string()),
            ..DeploymentChanged::default()
        };
        decision.event(
            deployment_stream(deployment),
            Event::DeploymentChanged(event),
        );
    }
    Ok(())
}
