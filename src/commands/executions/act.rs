//! `POST /executions/{id}`: cancelling and resuming.
use std::collections::BTreeSet;

use serde_json::{Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, View,
    views::{
        executions::{Execution, is_end},
        operations::Operation,
    },
};
use stratalog_schema::{
    Event,
    events::{ExecutionResumed, OperationChange, OperationsChanged},
};

use super::{cascade, load, noted, status::status_decision, stream};
use crate::{
    auth::{Caller, Permission},
    clock,
    context::Context,
    error::{Error, ErrorCode},
    store::{self, Decision},
};

/// What can be done to an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It ends when it can; operations under way go on.
    Cancel,
    /// It ends at once; operations under way go on.
    ForceCancel,
    /// It ends at once, and so do its operations.
    Kill,
    /// What failed is tried again.
    Resume,
    /// What failed or never answered is tried again.
    ForceResume,
    /// It goes to the end of the queue, if it waits there.
    Requeue,
    /// It is taken for failed at once, whatever its workflow does.
    ForceTerminal,
}

impl Action {
    /// The action of a name.
    ///
    /// # Errors
    /// 400.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "cancel" => Self::Cancel,
            "force-cancel" => Self::ForceCancel,
            "kill" => Self::Kill,
            "resume" => Self::Resume,
            "force-resume" => Self::ForceResume,
            "requeue" => Self::Requeue,
            "force-terminal" => Self::ForceTerminal,
            _ => {
                return Err(Error::bad_parameters(format!(
                    "Invalid action: {name}, Valid action values are: ['cancel', 'force-cancel', \
                     'kill', 'resume', 'force-resume', 'requeue', 'force-terminal']"
                )));
            }
        })
    }
}

/// Does it; gives the execution as it is then, and the position.
///
/// # Errors
/// 403, 404; 400 or 409 where the state does not allow it.
pub async fn act(
    ctx: &Context,
    caller: &Caller,
    id: &str,
    (action, reason): (Action, Option<&str>),
) -> Result<(Execution, i64), Error> {
    caller.require(Permission::ExecutionCancel)?;
    if action == Action::ForceTerminal {
        caller.require(Permission::SetExecutionDetails)?;
    }
    let (appended, execution) = ctx
        .store
        .command(&caller.meta(), None, async |view| {
            let view = &*view;
            let mut execution = load(view, caller, id).await?;
            let decision = match action {
                Action::Resume | Action::ForceResume => {
                    let force = action == Action::ForceResume;
                    let mut decision = resume(view, &mut execution, force).await?;
                    decision.extend(cascade::resumed(view, &execution, force).await?);
                    decision
                }
                Action::Requeue => requeue(view, &mut execution).await?,
                Action::ForceTerminal => {
                    end_by_force(view, &mut execution, (caller, reason)).await?
                }
                _ => {
                    let mut decision = cancel(view, &mut execution, action).await?;
                    decision.extend(cascade::cancelled(view, &execution, action).await?);
                    decision
                }
            };
            Ok((decision, execution))
        })
        .await?;
    Ok((execution, appended.last_position))
}

async fn cancel(
    view: &store::View,
    execution: &mut Execution,
    action: Action,
) -> Result<Decision, Error> {
    let current = execution.status.as_str();
    let waits = matches!(current, "pending" | "started" | "scheduled" | "queued");
    let (status, verb, is_allowed) = match action {
        Action::Kill => ("kill_cancelling", "kill", !is_end(current)),
        Action::ForceCancel => {
            let is_allowed = waits || current == "cancelling";
            ("force_cancelling", "force-cancel", is_allowed)
        }
        _ => ("cancelling", "cancel", waits),
    };
    if !is_allowed {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            format!(
                "Can't {verb} execution {} because it's in status {current}",
                execution.id
            ),
        ));
    }
    status_decision(view, execution, (status, None)).await
}

/// As [`act`], for one of a group: what waits is cancelled at once.
pub(crate) async fn cancel_in_group(
    view: &store::View,
    execution: &mut Execution,
    action: Action,
) -> Result<Decision, Error> {
    if matches!(execution.status.as_str(), "queued" | "scheduled") {
        return status_decision(view, execution, ("cancelled", None)).await;
    }
    match cancel(view, execution, action).await {
        Err(Error::Refused { .. }) => Ok(Decision::nothing()),
        decided => decided,
    }
}

/// What no other action ends, an administrator ends, who says why. What still runs of it is not
/// heard any more.
async fn end_by_force(
    view: &store::View,
    execution: &mut Execution,
    (caller, reason): (&Caller, Option<&str>),
) -> Result<Decision, Error> {
    let current = execution.status.clone();
    let Some(reason) = reason.map(str::trim).filter(|reason| !reason.is_empty()) else {
        return Err(Error::bad_parameters(
            "A `reason` is needed to end an execution by force",
        ));
    };
    if is_end(&current) {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            format!(
                "Can't force-terminal execution {} because it's in status {current}",
                execution.id
            ),
        ));
    }
    let error = format!("Ended by force by `{}`: {reason}", caller.username);
    let mut decision = Decision::nothing();
    let inputs = json!({"actor": caller.username, "reason": reason, "status": current});
    decision
        .events
        .push(noted(execution, "force-terminal", &inputs));
    let ended = status_decision(view, execution, ("failed", Some(&error))).await?;
    decision.events.extend(ended.events);
    decision.expected.extend(ended.expected);
    decision.telemetry.extend(ended.telemetry);
    Ok(decision)
}

/// Only what waits can wait again.
async fn requeue(view: &store::View, execution: &mut Execution) -> Result<Decision, Error> {
    if !matches!(
        execution.status.as_str(),
        "pending" | "queued" | "scheduled"
    ) {
        return Err(Error::refused(
            ErrorCode::IllegalAction,
            format!(
                "Can't requeue execution {} because it's in status {}",
                execution.id, execution.status
            ),
        ));
    }
    status_decision(view, execution, ("queued", None)).await
}

async fn resume(
    view: &store::View,
    execution: &mut Execution,
    force: bool,
) -> Result<Decision, Error> {
    let current = execution.status.as_str();
    let is_allowed = matches!(current, "failed" | "cancelled") || (current == "started" && !force);
    if !is_allowed {
        let verb = if force { "force-resume" } else { "resume" };
        return Err(Error::refused(
            ErrorCode::Conflict,
            format!(
                "Cannot {verb} execution: `{}` in state: `{current}`",
                execution.id
            ),
        ));
    }
    if current == "started" {
        // it runs: whoever takes executions over does so without being asked
        return Ok(Decision::nothing());
    }
    resume_as(view, execution, (force, "pending")).await
}

/// A failed or cancelled execution goes on, now or from the queue.
pub(crate) async fn resume_as(
    view: &store::View,
    execution: &mut Execution,
    (force, status): (bool, &str),
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    let changes = stream(&execution.tenant_name, &execution.id);
    decision.rests_on(view, changes.clone()).await?;
    let resets = resets(view, execution, force).await?;
    if !resets.is_empty() {
        let event = OperationsChanged {
            execution_id: execution.id.clone(),
            tenant: execution.tenant_name.clone(),
            changes: resets,
        };
        decision.event(changes.clone(), Event::OperationsChanged(event));
    }
    let event = ExecutionResumed {
        id: execution.id.clone(),
        tenant: execution.tenant_name.clone(),
        force,
        at_ms: clock::now_ms(),
    };
    decision.event(changes, Event::ExecutionResumed(event));
    execution.resume = true;
    let error = execution.error.clone();
    let waiting = status_decision(view, execution, (status, error.as_deref())).await?;
    execution.ended_at = None;
    decision.events.extend(waiting.events);
    decision.telemetry.extend(waiting.telemetry);
    Ok(decision)
}

/// Operations that are to be tried again, with their counters back at the start.
async fn resets(
    view: &store::View,
    execution: &Execution,
    force: bool,
) -> Result<Vec<OperationChange>, Error> {
    let query = ListQuery::all(View::Operations, Scope::Everything).with(Condition::AnyOf(
        "execution_id".to_owned(),
        vec![execution.id.clone()],
    ));
    let operations: Vec<Operation> = view.select_as(&query).await?;
    let mut parsed = Vec::with_capacity(operations.len());
    let mut superseded = BTreeSet::new();
    for operation in operations {
        let parameters: Value = match &operation.parameters {
            Some(json) => serde_json::from_str(json.get()).map_err(Error::internal)?,
            None => Value::Null,
        };
        if let Some(retried) = parameters.get("retried_task").and_then(Value::as_str) {
            superseded.insert(retried.to_owned());
        }
        parsed.push((operation, parameters));
    }
    let mut changes = Vec::new();
    for (operation, mut parameters) in parsed {
        let is_stuck = matches!(
            operation.state.as_str(),
            "started" | "sent" | "sending" | "response-sent"
        );
        let has_failed = matches!(operation.state.as_str(), "failed" | "rescheduled");
        if superseded.contains(&operation.id) || !(has_failed || (force && is_stuck)) {
            continue;
        }
        if let Value::Object(parameters) = &mut parameters {
            parameters.insert("current_retries".to_owned(), 0.into());
            parameters.insert("error".to_owned(), Value::Null);
            parameters.shift_remove("execute_after_ms");
        }
        changes.push(OperationChange {
            id: operation.id,
            state: "pending".to_owned(),
            parameters_json: Some(parameters.to_string()),
            ..OperationChange::default()
        });
    }
    Ok(changes)
}
