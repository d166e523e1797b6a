//! Queued executions begin when what stood in their way has ended.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{
        deployments::Deployment, execution_groups::ExecutionGroup, executions::Execution,
        maintenance::Status, scoped,
    },
};
use stratalog_schema::Meta;

use super::{
    ACTIVE, StartExecution, available, cascade, parameters_of,
    start::{cascades, check_environment, workflow},
    status::status_decision,
};
use crate::{
    auth::Caller,
    commands::{deployments::CREATE_WORKFLOW, maintenance, secrets::Opener},
    context::Context,
    error::Error,
    store::{self, Decision},
};

/// Executions that run at the same time, as far as queued ones are concerned.
const ACTIVE_MAX: usize = 20;

/// Makes queued executions pending, oldest first; those that cannot run any more fail. Gives their
/// number.
///
/// # Errors
/// Database errors.
pub async fn dequeue(ctx: &Context) -> Result<usize, Error> {
    let meta = Meta::system();
    let decided = ctx
        .store
        .command(&meta, None, async |view| decide(ctx, &view).await);
    Ok(decided.await?.1)
}

async fn decide(ctx: &Context, view: &store::View) -> Result<(Decision, usize), Error> {
    let mut queued: Vec<Execution> = view.select_as(&in_states(&["queued"])).await?;
    let mut decision = Decision::nothing();
    if queued.is_empty() || maintenance::get(view).await?.status != Status::Deactivated {
        return Ok((decision, 0));
    }
    // an environment comes before what is to run in it
    queued.sort_by_key(|execution| execution.workflow_id != CREATE_WORKFLOW);
    let active: Vec<Execution> = view.select_as(&in_states(&ACTIVE)).await?;
    if active.iter().any(is_exclusive) {
        return Ok((decision, 0));
    }
    let alone = queued.iter().find(|e| is_exclusive(e));
    let alone = alone.map(|execution| execution.id.clone());
    let mut room = Room::of(view, &active, &queued).await?;
    let mut begun = 0;
    for mut execution in queued {
        let may_begin = match &alone {
            Some(id) => execution.id == *id && room.active == 0,
            None => room.admits(&execution),
        };
        if !may_begin {
            continue;
        }
        let outcome = match available((ctx, view), &execution).await? {
            Ok(cascaded) => {
                decision.extend(cascaded);
                ("pending", None)
            }
            Err(reason) => (
                "failed",
                Some(format!("Error dequeueing execution: {reason}")),
            ),
        };
        let inputs = json!({"active": room.active, "active_max": ACTIVE_MAX});
        if outcome.0 == "pending" {
            room.take(&execution);
        }
        begun += 1;
        decision
            .rests_on(view, super::stream(&execution.tenant_name, &execution.id))
            .await?;
        decision
            .events
            .push(super::noted(&execution, "dequeued", &inputs));
        let status = (outcome.0, outcome.1.as_deref());
        let changed = status_decision(view, &mut execution, status).await?;
        decision.events.extend(changed.events);
        decision.expected.extend(changed.expected);
        decision.telemetry.extend(changed.telemetry);
    }
    Ok((decision, begun))
}

fn is_exclusive(execution: &Execution) -> bool {
    execution.is_system_workflow && !super::is_harmless(&execution.workflow_id)
}

fn place(execution: &Execution) -> Option<String> {
    let id = execution.deployment_id.as_ref()?;
    Some(scoped(&execution.tenant_name, id))
}

fn group(execution: &Execution) -> Option<String> {
    let id = execution.own.execution_group_id.as_ref()?;
    Some(scoped(&execution.tenant_name, id))
}

/// What may still begin.
struct Room {
    active: usize,
    /// Deployments on which something runs, or on which something waits that goes first.
    busy: BTreeSet<String>,
    /// How many more of each group.
    groups: BTreeMap<String, i64>,
}

impl Room {
    async fn of(
        view: &store::View,
        active: &[Execution],
        queued: &[Execution],
    ) -> Result<Self, Error> {
        let keys: BTreeSet<String> = queued.iter().filter_map(group).collect();
        let mut groups = BTreeMap::new();
        if !keys.is_empty() {
            let keys = keys.into_iter().collect();
            let query = ListQuery::all(View::ExecutionGroups, Scope::Everything)
                .with(Condition::Keys(keys));
            let found: Vec<ExecutionGroup> = view.select_as(&query).await?;
            for group in found {
                groups.insert(scoped(&group.tenant_name, &group.id), group.concurrency);
            }
        }
        for key in active.iter().filter_map(group) {
            if let Some(left) = groups.get_mut(&key) {
                *left -= 1;
            }
        }
        Ok(Self {
            active: active.len(),
            busy: active.iter().filter_map(place).collect(),
            groups,
        })
    }

    fn admits(&mut self, execution: &Execution) -> bool {
        let is_free = place(execution).is_none_or(|place| {
            let is_first = !self.busy.contains(&place);
            if execution.workflow_id == CREATE_WORKFLOW {
                self.busy.insert(place);
            }
            is_first
        });
        let group = group(execution).and_then(|key| self.groups.get(&key));
        is_free && self.active < ACTIVE_MAX && group.is_none_or(|left| *left > 0)
    }

    fn take(&mut self, execution: &Execution) {
        self.active += 1;
        self.busy.extend(place(execution));
        if let Some(left) = group(execution).and_then(|key| self.groups.get_mut(&key)) {
            *left -= 1;
        }
    }
}

fn in_states(statuses: &[&str]) -> ListQuery {
    let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
    ListQuery::all(View::Executions, Scope::Everything)
        .with(Condition::AnyOf("status".to_owned(), statuses))
}

/// What begins together with it in components; or why it cannot run after all.
async fn available(
    (ctx, view): (&Context, &store::View),
    execution: &Execution,
) -> Result<Result<Decision, String>, Error> {
    let Some(id) = &execution.deployment_id else {
        return Ok(Ok(Decision::nothing()));
    };
    let deployment: Option<Deployment> = view.get(&scoped(&execution.tenant_name, id)).await?;
    let Some(deployment) = deployment else {
        return Ok(Err(format!("the deployment {id} is gone")));
    };
    match begun((ctx, view), execution, &deployment).await {
        Ok(cascaded) => Ok(Ok(cascaded)),
        Err(Error::Refused { message, .. }) => Ok(Err(message)),
        Err(error) => Err(error),
    }
}

async fn begun(
    (ctx, view): (&Context, &store::View),
    execution: &Execution,
    deployment: &Deployment,
) -> Result<Decision, Error> {
    if !super::is_system(&execution.workflow_id) {
        check_environment(view, deployment).await?;
    }
    let Some(spec) = workflow(Some(deployment), &execution.workflow_id)? else {
        return Ok(Decision::nothing());
    };
    if execution.resume {
        return Ok(Decision::nothing());
    }
    if !execution.own.force {
        available::check(view, deployment, (&execution.workflow_id, &spec)).await?;
    }
    if !cascades(&spec) {
        return Ok(Decision::nothing());
    }
    let caller = Caller::system(&execution.tenant_name).on_behalf_of(&execution.created_by);
    let opener = Opener {
        ctx,
        caller: &caller,
    };
    cascade::begun(view, opener, &command(execution)?).await
}

/// What was asked for when it began to wait.
fn command(execution: &Execution) -> Result<StartExecution, Error> {
    Ok(StartExecution {
        deployment_id: execution.deployment_id.clone().unwrap_or_default(),
        workflow_id: execution.workflow_id.clone(),
        parameters: parameters_of(execution)?,
        allow_custom_parameters: execution.allow_custom_parameters,
        force: execution.own.force,
        dry_run: execution.is_dry_run,
        queue: true,
        wait_after_fail_s: Some(execution.own.wait_after_fail_s),
        ..StartExecution::default()
    })
}
