//! Starting a workflow on every deployment of a group.
use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use stratalog_projections::{
    Condition, ListQuery, Scope as Rows, View as ViewName,
    views::{
        deployment_groups::DeploymentGroup, deployments::Deployment, executions::Execution, scoped,
    },
};
use stratalog_schema::events::{ExecutionGroupCreated, Scope, TelemetryRecord};

use super::{created, restore};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        deployment_groups, deployments,
        executions::{self, StartExecution},
        labels, own_execution,
        secrets::Opener,
        visibility,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How many executions run at a time, where nobody says anything else.
const CONCURRENCY: i64 = 5;

/// A group of executions somebody asks for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NewGroup {
    /// The deployments.
    pub deployment_group_id: String,
    /// The workflow.
    pub workflow_id: String,
    /// Parameters for all of them.
    #[serde(default)]
    pub default_parameters: Option<Map<String, Value>>,
    /// Parameters for one of them, by its id.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Pass over conflicts, dependents and availability.
    #[serde(default)]
    pub force: Option<bool>,
    /// How many run at a time.
    #[serde(default)]
    pub concurrency: Option<i64>,
    /// Id of a restored one.
    #[serde(default)]
    pub id: Option<String>,
    /// Creator of a restored one.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Creation of a restored one.
    #[serde(default)]
    pub created_at: Option<Value>,
    /// Executions of a restored one: they exist already, nothing is started.
    #[serde(default)]
    pub associated_executions: Option<Vec<String>>,
}

impl NewGroup {
    fn require(&self, caller: &Caller) -> Result<(), Error> {
        caller.require(Permission::ExecutionGroupCreate)?;
        if self.id.is_some() || self.associated_executions.is_some() {
            caller.require(Permission::SetExecutionGroupDetails)?;
        }
        if self.created_by.is_some() {
            caller.require(Permission::SetOwner)?;
        }
        if self.created_at.is_some() {
            caller.require(Permission::SetTimestamp)?;
        }
        concurrency(self.concurrency)
    }
}

/// Refuses what is no number of executions.
pub(super) fn concurrency(given: Option<i64>) -> Result<(), Error> {
    match given {
        Some(number) if !(0..=i64::from(i32::MAX)).contains(&number) => Err(Error::bad_parameters(
            format!("concurrency must not be below 0, got {number}"),
        )),
        _ => Ok(()),
    }
}

/// Creates a group of executions; gives its id. As many as may run at a time begin, the others wait
/// in the queue.
///
/// # Errors
/// 400 for bad parameters, 403, 404.
pub async fn start(ctx: &Context, caller: &Caller, new: &NewGroup) -> Result<String, Error> {
    new.require(caller)?;
    let meta = caller.meta();
    let decided = ctx.store.command(&meta, None, async |view| {
        let view: &View = &view;
        deployments::require_not_cancelling(view, caller).await?;
        let group = deployment_groups::load(view, caller, &new.deployment_group_id).await?;
        visibility::require_own(caller, &group.id, &group.tenant_name)?;
        let event = event(caller, &group, new)?;
        let id = event.id.clone();
        let mut decision = Decision::nothing();
        decision.events.push(created(event.clone()));
        match &new.associated_executions {
            Some(ids) => restore::associate(view, &mut decision, (&group, &id), ids).await?,
            None => {
                members(
                    view,
                    Opener { ctx, caller },
                    &mut decision,
                    (&group, &event, new),
                )
                .await?
            }
        }
        Ok((decision, id))
    });
    Ok(decided.await?.1)
}

fn event(
    caller: &Caller,
    group: &DeploymentGroup,
    new: &NewGroup,
) -> Result<ExecutionGroupCreated, Error> {
    let created_at = new.created_at.as_ref().map(labels::moment).transpose()?;
    Ok(ExecutionGroupCreated {
        id: new.id.clone().unwrap_or_else(own_execution::new_id),
        scope: Some(Scope {
            tenant: group.tenant_name.clone(),
            visibility: group.visibility.clone(),
            created_by: new.created_by.as_ref().unwrap_or(&caller.username).clone(),
        }),
        workflow_id: new.workflow_id.clone(),
        concurrency: new.concurrency.unwrap_or(CONCURRENCY),
        deployment_group_id: Some(group.id.clone()),
        created_at_ms: created_at.flatten().unwrap_or_else(clock::now_ms),
    })
}

async fn members(
    view: &View,
    opener: Opener<'_>,
    decision: &mut Decision,
    (group, event, new): (&DeploymentGroup, &ExecutionGroupCreated, &NewGroup),
) -> Result<(), Error> {
    let of = (group.tenant_name.as_str(), group.id.as_str());
    let ids = deployment_groups::member_ids(view, of).await?;
    let deployments = deployments_of(view, of.0, &ids).await?;
    let busy = busy(view, of.0, &ids).await?;
    let is_blocked = executions::active_anywhere(view, true).await?.is_some();
    let mut begun = 0;
    for deployment in &deployments {
        let command = command(deployment, new)?;
        let queues = is_blocked || begun >= event.concurrency || busy.contains(&deployment.id);
        let place = executions::InGroup {
            id: &event.id,
            created_by: opener.caller.username.as_str(),
            queues,
        };
        match executions::prepare_in_group(view, opener, (deployment, &command), place).await {
            Ok(prepared) => {
                begun += i64::from(prepared.begins);
                decision.events.extend(prepared.decision.events);
                decision.expected.extend(prepared.decision.expected);
            }
            Err(Error::Refused {
                code: ErrorCode::NonexistentWorkflow,
                message,
                ..
            }) => decision.telemetry.push(lacks(event, deployment, message)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn deployments_of(
    view: &View,
    tenant: &str,
    ids: &[String],
) -> Result<Vec<Deployment>, Error> {
    let keys = ids.iter().map(|id| scoped(tenant, id)).collect();
    let query = ListQuery::all(ViewName::Deployments, Rows::Everything).with(Condition::Keys(keys));
    Ok(view.select_as(&query).await?)
}

/// Deployments on which something runs or waits.
async fn busy(view: &View, tenant: &str, ids: &[String]) -> Result<BTreeSet<String>, Error> {
    let mut statuses: Vec<String> = executions::ACTIVE.iter().map(|s| (*s).to_owned()).collect();
    statuses.push("queued".to_owned());
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let query = ListQuery::all(ViewName::Executions, Rows::Everything)
        .with(Condition::AnyOf("deployment_id".to_owned(), ids.to_vec()))
        .with(Condition::AnyOf("status".to_owned(), statuses));
    let mut found: Vec<Execution> = view.select_as(&query).await?;
    found.retain(|execution| execution.tenant_name == tenant);
    Ok(found.into_iter().filter_map(|e| e.deployment_id).collect())
}

fn command(deployment: &Deployment, new: &NewGroup) -> Result<StartExecution, Error> {
    let mut parameters = new.default_parameters.clone().unwrap_or_default();
    let own = new
        .parameters
        .as_ref()
        .and_then(|all| all.get(&deployment.id));
    match own {
        None | Some(Value::Null) => {}
        Some(Value::Object(own)) => parameters.extend(own.clone()),
        Some(other) => {
            return Err(Error::bad_parameters(format!(
                "parameters of {} are expected to be a dict, got {other}",
                deployment.id
            )));
        }
    }
    Ok(StartExecution {
        deployment_id: deployment.id.clone(),
        workflow_id: new.workflow_id.clone(),
        parameters,
        force: new.force.unwrap_or(false),
        queue: true,
        ..StartExecution::default()
    })
}

/// A member without the workflow is told of in the group's log.
fn lacks(
    event: &ExecutionGroupCreated,
    deployment: &Deployment,
    message: String,
) -> TelemetryRecord {
    let scope = event.scope.clone().unwrap_or_default();
    TelemetryRecord {
        event_id: uuid::Uuid::now_v7().as_bytes().to_vec(),
        tenant: scope.tenant,
        visibility: scope.visibility,
        created_by: scope.created_by,
        is_log: true,
        timestamp_us: clock::now_us(),
        reported_timestamp_us: clock::now_us(),
        execution_group_id: event.id.clone(),
        deployment_id: deployment.id.clone(),
        deployment_display_name: deployment.display_name.clone(),
        blueprint_id: deployment.blueprint_id.clone(),
        workflow_id: event.workflow_id.clone(),
        message,
        logger: format!("ctx.{}", event.id),
        level: "warning".to_owned(),
        ..TelemetryRecord::default()
    }
}
