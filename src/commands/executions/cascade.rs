//! What is done to an execution is done to those of its deployment's components, too, and to those
//! of their components.
use std::collections::BTreeSet;

use stratalog_projections::views::{deployments::Deployment, executions::Execution, scoped};

use super::{
    ACTIVE, Restored, StartExecution,
    act::{Action, cancel_in_group, resume_as},
    of_deployment,
    start::prepare_one,
};
use crate::{
    commands::{inter_deployment_dependencies::components_of, secrets::Opener},
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
    for id in components(view, place(execution)).await? {
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
    for id in components(view, place(execution)).await? {
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

/// A cascading workflow that begins in a deployment begins in its components. One that cannot begin
/// in one of them begins nowhere.
///
/// # Errors
/// As those of a start.
pub(super) async fn begun(
    view: &store::View,
    opener: Opener<'_>,
    command: &StartExecution,
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    let place = (
        opener.caller.tenant()?,
        Some(command.deployment_id.as_str()),
    );
    for id in components(view, place).await? {
        let command = StartExecution {
            deployment_id: id,
            restored: Restored::default(),
            ..command.clone()
        };
        let (begun, prepared, _) = prepare_one(view, opener, &command).await?;
        if let Some(refusal) = prepared.refusal {
            return Err(refusal);
        }
        decision.extend(begun);
    }
    Ok(decision)
}

/// Where an execution takes place: tenant and deployment.
fn place(execution: &Execution) -> (&str, Option<&str>) {
    let id = execution.deployment_id.as_deref();
    (&execution.tenant_name, id)
}

/// Ids of the components of a deployment, nearest first.
async fn components(
    view: &store::View,
    (tenant, own): (&str, Option<&str>),
) -> Result<Vec<String>, Error> {
    let Some(own) = own.map(str::to_owned) else {
        return Ok(Vec::new());
    };
    let mut known = BTreeSet::from([own.clone()]);
    let mut found = vec![own];
    let mut at = 0;
    while let Some(id) = found.get(at).cloned() {
        let parts = components_of(view, (tenant, &id)).await?;
        found.extend(parts.into_iter().filter(|part| known.insert(part.clone())));
        at += 1;
    }
    found.remove(0);
    Ok(found)
}
