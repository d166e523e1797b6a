//! Deleting a deployment: what stands against it, and the execution that takes its environment
//! away.
use serde_json::json;
use stratalog_projections::{
    Condition, ListQuery, View,
    views::{
        deployments::Deployment,
        executions::{Execution, is_active},
    },
};
use stratalog_schema::{
    Category, Event, StreamId,
    events::{self, DeploymentChanged, DeploymentDeleted, ExecutionCreated},
};

use super::{DELETE_WORKFLOW, MODEL, belonging, stream, tree};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        blueprints::remove_tree,
        inter_deployment_dependencies::{self, Disturbance},
        own_execution, visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View as Reader},
};

/// How a deployment is deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeleteDeployment {
    /// Whatever still lives in it or depends on it.
    pub force: bool,
    /// With its logs.
    pub delete_logs: bool,
    /// With the deployments that live in it.
    pub recursive: bool,
}

/// Starts the deletion of a deployment; gives the execution that carries it out.
///
/// # Errors
/// 403, 404; 400 while executions run, others depend on it, or its nodes live.
pub async fn delete(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    how: DeleteDeployment,
) -> Result<String, Error> {
    caller.require(Permission::DeploymentDelete)?;
    let execution = own_execution::new_id();
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut decision = Decision::nothing();
            let place = (execution.as_str(), Place::default());
            begin(view, caller, (&mut decision, place), (id, how)).await?;
            Ok((decision, ()))
        })
        .await?;
    Ok(execution)
}

/// Where the execution of a deletion stands among others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// Whether it waits for others to end.
    pub(crate) is_queued: bool,
    /// The group it belongs to.
    pub(crate) group: Option<&'a str>,
}

/// Adds the beginning of a deletion to a decision.
///
/// # Errors
/// As [`delete`].
pub(crate) async fn begin(
    view: &Reader,
    caller: &Caller,
    (decision, (execution, place)): (&mut Decision, (&str, Place<'_>)),
    (id, how): (&str, DeleteDeployment),
) -> Result<(), Error> {
    let row = visibility::own(caller, view, MODEL, id).await?;
    let deployment: Deployment = row.resource()?;
    let tenant = deployment.tenant_name.as_str();
    decision.rests_on(view, stream(tenant, id)).await?;
    inter_deployment_dependencies::rest_on_dependents(view, decision, (tenant, id)).await?;
    check(view, &deployment, how).await?;
    decision.event(
        stream(tenant, id),
        Event::DeploymentChanged(DeploymentChanged {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
            updated_at_ms: deployment.own.updated_at_ms,
            deployment_status: Some("in_progress".to_owned()),
            ..DeploymentChanged::default()
        }),
    );
    let mut created = start(&deployment, caller, (execution, clock::now_ms()), how);
    created.execution_group_id = place.group.map(str::to_owned);
    if place.is_queued {
        created.status = "queued".to_owned();
    }
    decision.event(
        StreamId::scoped(Category::Execution, tenant, execution),
        Event::ExecutionCreated(created),
    );
    Ok(())
}

fn start(
    deployment: &Deployment,
    caller: &Caller,
    (id, now_ms): (&str, i64),
    how: DeleteDeployment,
) -> ExecutionCreated {
    let parameters = json!({
        "delete_logs": how.delete_logs,
        "force": how.force,
        "recursive": how.recursive,
    });
    ExecutionCreated {
        id: id.to_owned(),
        scope: Some(events::Scope {
            tenant: deployment.tenant_name.clone(),
            visibility: deployment.visibility.clone(),
            created_by: caller.username.clone(),
        }),
        workflow_id: DELETE_WORKFLOW.to_owned(),
        status: "pending".to_owned(),
        parameters_json: parameters.to_string(),
        allow_custom_parameters: true,
        force: how.force,
        created_at_ms: now_ms,
        deployment_id: Some(deployment.id.clone()),
        deployment_display_name: Some(deployment.display_name.clone()),
        blueprint_id: Some(deployment.blueprint_id.clone()),
        ..ExecutionCreated::default()
    }
}

/// Whether a deployment's deletion has begun.
///
/// # Errors
/// Database errors.
pub(crate) async fn is_leaving(view: &Reader, of: (&str, &str)) -> Result<bool, Error> {
    let deletions = belonging(View::Executions, of).with(Condition::AnyOf(
        "workflow_id".to_owned(),
        vec![DELETE_WORKFLOW.to_owned()],
    ));
    let deletions: Vec<Execution> = view.select_as(&deletions).await?;
    Ok(deletions
        .iter()
        .any(|one| is_active(&one.status) || one.status == "queued"))
}

/// Refuses a deployment that is being deleted: nothing may be tied to it any more.
///
/// # Errors
/// 409; database errors.
pub(crate) async fn require_staying(view: &Reader, of: (&str, &str)) -> Result<(), Error> {
    match is_leaving(view, of).await? {
        true => Err(Error::refused(
            ErrorCode::Conflict,
            format!("Deployment `{}` is being deleted", of.1),
        )),
        false => Ok(()),
    }
}

/// Adds the end of a deployment and of everything that belonged to it. Whatever is still to be said
/// of its executions must come before.
///
/// # Errors
/// Database errors.
pub(crate) async fn deleted(
    view: &Reader,
    decision: &mut Decision,
    (tenant, id): (&str, &str),
) -> Result<(), Error> {
    inter_deployment_dependencies::forgotten(view, decision, (tenant, id)).await?;
    decision.event(
        stream(tenant, id),
        Event::DeploymentDeleted(DeploymentDeleted {
            id: id.to_owned(),
            tenant: tenant.to_owned(),
        }),
    );
    remove_tree(decision, &tree(tenant, id));
    Ok(())
}

async fn check(view: &Reader, deployment: &Deployment, how: DeleteDeployment) -> Result<(), Error> {
    let of = (deployment.tenant_name.as_str(), deployment.id.as_str());
    let id = &deployment.id;
    let running: Vec<String> = view
        .select_as::<Execution>(&belonging(View::Executions, of))
        .await?
        .into_iter()
        .filter(|execution| is_active(&execution.status) || execution.status == "queued")
        .map(|execution| execution.id)
        .collect();
    if !running.is_empty() {
        return Err(refuse(format!(
            "Can't delete deployment {id} - There are running or queued executions for this \
             deployment. Running executions ids: {}",
            running.join(", ")
        )));
    }
    let disturbance = Disturbance::Deletion {
        recursive: how.recursive,
    };
    inter_deployment_dependencies::check_dependents(view, deployment, (disturbance, how.force))
        .await?;
    if how.force {
        return Ok(());
    }
    let live = belonging(View::NodeInstances, of).with(Condition::NotAnyOf(
        "state".to_owned(),
        vec!["uninitialized".to_owned(), "deleted".to_owned()],
    ));
    let live = ids(view, &live).await?;
    if live.is_empty() {
        return Ok(());
    }
    Err(refuse(format!(
        "Can't delete deployment {id} - There are live nodes for this deployment. Live nodes ids: \
         {}",
        live.join(", ")
    )))
}

async fn ids(view: &Reader, query: &ListQuery) -> Result<Vec<String>, Error> {
    let rows = view.pick(query, &["id"]).await?;
    Ok(rows
        .into_iter()
        .filter_map(|(_, mut values)| values.pop().flatten())
        .collect())
}

fn refuse(message: String) -> Error {
    Error::refused(ErrorCode::DependentExists, message)
}
