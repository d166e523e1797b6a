//! Deleting a group of deployments, with what is in it or without.
use stratalog_schema::{
    Event,
    events::{DeploymentGroupDeleted, ExecutionGroupCreated, Scope},
};

use super::{CONCURRENCY, load, member_ids, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        deployments::{self, DELETE_WORKFLOW, DeleteDeployment, Place},
        execution_groups, own_execution, visibility,
    },
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// Deletes a group; with `members`, its deployments are deleted, too, by a group of executions,
/// whose id is given.
///
/// # Errors
/// 403, 404; 400 for a deployment that cannot be deleted: nothing is then.
pub async fn delete(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    members: Option<DeleteDeployment>,
) -> Result<Option<String>, Error> {
    caller.require(Permission::DeploymentGroupDelete)?;
    if members.is_some() {
        caller.require(Permission::DeploymentDelete)?;
    }
    let meta = caller.meta();
    let decided = ctx.store.command(&meta, None, async |view| {
        let view: &View = &view;
        let group = load(view, caller, id).await?;
        visibility::require_own(caller, id, &group.tenant_name)?;
        let tenant = group.tenant_name.as_str();
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream(tenant, id)).await?;
        let executions = match members {
            None => None,
            Some(how) => {
                let scope = Scope {
                    tenant: tenant.to_owned(),
                    visibility: group.visibility.clone(),
                    created_by: caller.username.clone(),
                };
                Some(delete_members(view, caller, (&mut decision, scope), (id, how)).await?)
            }
        };
        let event = DeploymentGroupDeleted {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
        };
        decision.event(stream(tenant, id), Event::DeploymentGroupDeleted(event));
        Ok((decision, executions))
    });
    Ok(decided.await?.1)
}

async fn delete_members(
    view: &View,
    caller: &Caller,
    (decision, scope): (&mut Decision, Scope),
    (id, how): (&str, DeleteDeployment),
) -> Result<String, Error> {
    let executions = own_execution::new_id();
    let members = member_ids(view, (&scope.tenant, id)).await?;
    decision
        .events
        .push(execution_groups::created(ExecutionGroupCreated {
            id: executions.clone(),
            scope: Some(scope),
            workflow_id: DELETE_WORKFLOW.to_owned(),
            concurrency: i64::try_from(CONCURRENCY).map_err(Error::internal)?,
            deployment_group_id: Some(id.to_owned()),
            created_at_ms: clock::now_ms(),
        }));
    for (at, member) in members.iter().enumerate() {
        let execution = own_execution::new_id();
        let place = Place {
            is_queued: at >= CONCURRENCY,
            group: Some(&executions),
        };
        let into = (&mut *decision, (execution.as_str(), place));
        deployments::begin_deletion(view, caller, into, (member, how)).await?;
    }
    Ok(executions)
}
