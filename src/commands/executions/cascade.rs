//! What is done to an execution is done to those of its deployment's components, too, and to those
//! of their components.
use std::collections::BTreeSet;

use stratalog_projections::views::{deployments::Deployment, executions::Execution, scoped};

use super::{
    ACTIVE,
    act::{Action, cancel_in_group, resume_as},
    of_deployment,
};
use crate::{
    commands::inter_deployment_dependencies::components_of,
    error::Error,
    store::{self, Decision},
};

/// What runs or waits in components is asked to end, as far as it can.
///
/// # Errors
/// Database errors.
pub(super) async fn cancelled(
    view: &store::View,
    execution: &Execution,
    action: Action,
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    let mut statuses = ACTIVE.to_vec();
    statuses.push("queued");
    for id in components(view, execution).await? {
        let place = (execution.tenant_name.as_str(), id.as_str());
        for mut other in of_deployment(view, place, &statuses).await? {
            decision.extend(cancel_in_group(view, &mut other, action).await?);
        }
    }
    Ok(decision)
}

/// What was the latest in a component and did not succeed goes on; only an installation does not,
/// because the component's own operation starts it again.
///
/// # Errors
/// Database errors.
pub(super) async fn resumed(
    view: &store::View,
    execution: &Execution,
    force: bool,
) -> Result<Decision, Error> {
    let tenant = execution.tenant_name.as_str();
    let mut decision = Decision::nothing();
    for id in components(view, execution).await? {
        let found: Option<Deployment> = view.get(&scoped(tenant, &id)).await?;
        let Some(latest) = found.and_then(|deployment| deployment.latest_execution) else {
            continue;
        };
        let latest: Option<Execution> = view.get(&scoped(tenant, &latest)).await?;
        let stopped = latest.filter(|latest| {
            matches!(latest.status.as_str(), "failed" | "cancelled")
                && latest.workflow_id != "install"
        });
        if let Some(mut stopped) = stopped {
            decision.extend(resume_as(view, &mut stopped, (force, "pending")).await?);
        }
    }
    Ok(decision)
}

/// Ids of the components of an execution's deployment, nearest first.
async fn components(view: &store::View, execution: &Execution) -> Result<Vec<String>, Error> {
    let Some(own) = &execution.deployment_id else {
        return Ok(Vec::new());
    };
    let mut known = BTreeSet::from([own.clone()]);
    let mut found = vec![own.clone()];
    let mut at = 0;
    while let Some(id) = found.get(at).cloned() {
        let parts = components_of(view, (&execution.tenant_name, &id)).await?;
        found.extend(parts.into_iter().filter(|part| known.insert(part.clone())));
        at += 1;
    }
    found.remove(0);
    Ok(found)
}
