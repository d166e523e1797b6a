//! Creating, changing and deleting schedules.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::views::schedules::{self, Schedule};
use stratalog_schema::{
    Event,
    events::{ScheduleChanged, ScheduleCreated, ScheduleDeleted, Scope},
};
use uuid::Uuid;

use super::{MODEL, Recurrence, own, own_deployment, stream, times};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{
        executions::{self, StartExecution},
        ids, labels,
    },
    context::Context,
    error::{Error, ErrorCode},
    store::{Decision, View},
};

/// How a schedule recurs, as clients say it: a rule, or an interval with weekdays.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NewRule {
    /// RFC 5545.
    #[serde(default)]
    pub rrule: Option<String>,
    /// `2 weeks`.
    #[serde(default)]
    pub recurrence: Option<String>,
    /// How often at most.
    #[serde(default)]
    pub count: Option<Value>,
    /// On which days only.
    #[serde(default)]
    pub weekdays: Option<Value>,
}

impl NewRule {
    fn is_empty(&self) -> bool {
        let Self {
            rrule,
            recurrence,
            count,
            weekdays,
        } = self;
        rrule.is_none() && recurrence.is_none() && count.is_none() && weekdays.is_none()
    }

    /// The stored form; what is not said is as it was.
    fn stored(&self, before: Option<&Value>) -> Result<Value, Error> {
        let has_parts =
            self.recurrence.is_some() || self.count.is_some() || self.weekdays.is_some();
        if let Some(rule) = &self.rrule {
            if has_parts {
                return Err(Error::bad_parameters(
                    "`rrule` cannot be provided together with `recurrence`, `weekdays` or `count`",
                ));
            }
            return Ok(json!({ "rrule": rule }));
        }
        let kept = |name: &str| before.and_then(|before| before.get(name)).cloned();
        let recurrence = self.recurrence.clone().map(Value::from);
        Ok(json!({
            "recurrence": recurrence.or_else(|| kept("recurrence")),
            "count": number(self.count.clone().or_else(|| kept("count"))),
            "weekdays": self.weekdays.clone().or_else(|| kept("weekdays")),
        }))
    }
}

/// Numbers may come as texts.
fn number(value: Option<Value>) -> Option<Value> {
    match value {
        Some(Value::String(text)) => match text.trim().parse::<u64>() {
            Ok(number) => Some(number.into()),
            Err(_) => Some(text.into()),
        },
        other => other,
    }
}

/// A schedule somebody asks for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct NewSchedule {
    /// The workflow to start.
    pub workflow_id: String,
    /// From when on.
    pub since: Value,
    /// Until when.
    #[serde(default)]
    pub until: Option<Value>,
    /// Parameters of its executions.
    #[serde(default)]
    pub parameters: Option<Map<String, Value>>,
    /// Flags of its executions.
    #[serde(default)]
    pub execution_arguments: Option<Map<String, Value>>,
    /// How it recurs.
    #[serde(flatten)]
    pub rule: NewRule,
    /// By how many minutes it may be late.
    #[serde(default)]
    pub slip: Option<i64>,
    /// Whether a failed execution disables it.
    #[serde(default)]
    pub stop_on_fail: Option<Value>,
    /// Whether it starts anything.
    #[serde(default)]
    pub enabled: Option<Value>,
    /// Creator of a restored one.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Creation of a restored one.
    #[serde(default)]
    pub created_at: Option<Value>,
}

/// What is to change of a schedule. What is absent stays.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ChangeSchedule {
    /// From when on.
    #[serde(default)]
    pub since: Option<Value>,
    /// Until when.
    #[serde(default)]
    pub until: Option<Value>,
    /// The workflow to start.
    #[serde(default)]
    pub workflow_id: Option<String>,
    /// By how many minutes it may be late.
    #[serde(default)]
    pub slip: Option<i64>,
    /// Whether a failed execution disables it.
    #[serde(default)]
    pub stop_on_fail: Option<Value>,
    /// Whether it starts anything.
    #[serde(default)]
    pub enabled: Option<Value>,
    /// How it recurs.
    #[serde(flatten)]
    pub rule: NewRule,
}

fn flag(name: &str, value: Option<&Value>) -> Result<Option<bool>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(other) => Err(Error::bad_parameters(format!(
            "{name} must be <true/false>, got {other}"
        ))),
    }
}

fn minutes(slip: Option<i64>) -> Result<Option<i64>, Error> {
    match slip {
        Some(slip) if !(0..=i64::from(u32::MAX)).contains(&slip) => Err(Error::bad_parameters(
            format!("slip must be a number of minutes, got {slip}"),
        )),
        slip => Ok(slip),
    }
}

/// The flags of its executions in their stored form.
fn arguments(given: Option<&Map<String, Value>>) -> Result<Value, Error> {
    let mut stored = Map::new();
    for (name, value) in given.into_iter().flatten() {
        let value = match name.as_str() {
            "wait_after_fail" => match number(Some(value.clone())) {
                Some(Value::Number(number)) if number.as_i64().is_some_and(|n| n >= 0) => {
                    Value::Number(number)
                }
                _ => {
                    return Err(Error::bad_parameters(format!(
                        "wait_after_fail must be seconds, got {value}"
                    )));
                }
            },
            "allow_custom_parameters" | "force" | "dry_run" | "is_dry_run" => {
                flag(name, Some(value))?.unwrap_or(false).into()
            }
            _ => {
                return Err(Error::bad_parameters(format!(
                    "There is no execution argument `{name}`"
                )));
            }
        };
        let name = match name.as_str() {
            "dry_run" => "is_dry_run",
            name => name,
        };
        stored.insert(name.to_owned(), value);
    }
    Ok(Value::Object(stored))
}

/// Creates a schedule.
///
/// # Errors
/// 400 for rules and times that are none and workflows that do not exist, 403, 404, 409.
pub async fn create(
    ctx: &Context,
    caller: &Caller,
    (deployment_id, id): (&str, &str),
    new: &NewSchedule,
) -> Result<(), Error> {
    caller.require(Permission::ExecutionScheduleCreate)?;
    ids::check("schedule_id", id)?;
    if new.created_by.is_some() {
        caller.require(Permission::SetOwner)?;
    }
    if new.created_at.is_some() {
        caller.require(Permission::SetTimestamp)?;
    }
    let event = event(caller, (deployment_id, id), new)?;
    add(ctx, caller, event).await
}

/// The schedule somebody asks for, checked as far as it can be without its deployment.
///
/// # Errors
/// 400 for rules and times that are none.
pub(super) fn event(
    caller: &Caller,
    (deployment_id, id): (&str, &str),
    new: &NewSchedule,
) -> Result<ScheduleCreated, Error> {
    let until = new.until.as_ref().filter(|until| !until.is_null());
    let parameters = new.parameters.clone().map_or(Value::Null, Value::Object);
    let created_at = new.created_at.as_ref().map(labels::moment).transpose()?;
    let since_ms = times::bound("since", &new.since)?;
    let until_ms = until
        .map(|until| times::bound("until", until))
        .transpose()?;
    let rule = new.rule.stored(None)?;
    let recurrence = Recurrence::new(&rule, since_ms, until_ms)?;
    Ok(ScheduleCreated {
        id: id.to_owned(),
        scope: Some(Scope {
            tenant: caller.tenant()?.to_owned(),
            visibility: String::new(),
            created_by: new.created_by.as_ref().unwrap_or(&caller.username).clone(),
        }),
        deployment_id: deployment_id.to_owned(),
        workflow_id: new.workflow_id.clone(),
        since_ms,
        until_ms,
        rule_json: rule.to_string(),
        slip_min: minutes(new.slip)?.unwrap_or(0),
        stop_on_fail: flag("stop_on_fail", new.stop_on_fail.as_ref())?.unwrap_or(false),
        enabled: flag("enabled", new.enabled.as_ref())?.unwrap_or(true),
        parameters_json: parameters.to_string(),
        execution_arguments_json: arguments(new.execution_arguments.as_ref())?.to_string(),
        created_at_ms: created_at.flatten().unwrap_or_else(clock::now_ms),
        next_occurrence_ms: recurrence.next_after(clock::now_ms())?,
    })
}

async fn add(ctx: &Context, caller: &Caller, event: ScheduleCreated) -> Result<(), Error> {
    let (id, deployment_id) = (event.id.as_str(), event.deployment_id.as_str());
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            let deployment = own_deployment(view, caller, deployment_id).await?;
            executions::require_workflow(&deployment, &event.workflow_id)?;
            let tenant = deployment.tenant_name.as_str();
            let key = schedules::key(tenant, deployment_id, id);
            if view.row(MODEL.0, &key).await?.is_some() {
                return Err(Error::refused(
                    ErrorCode::Conflict,
                    format!(
                        "<ExecutionSchedule id=`{id}` tenant=`{tenant}`> already exists on \
                         <Deployment id=`{deployment_id}`>"
                    ),
                ));
            }
            let mut event = event.clone();
            if let Some(scope) = &mut event.scope {
                scope.visibility.clone_from(&deployment.visibility);
            }
            let of = stream(tenant, deployment_id, id);
            let mut decision = Decision::nothing();
            decision.rests_on(view, of.clone()).await?;
            decision.event(of, Event::ScheduleCreated(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// An execution that is to be started once, later: it becomes a schedule.
///
/// # Errors
/// As [`create`]; 400 for a time that has passed or has no zone.
#[allow(
    clippy::disallowed_methods,
    reason = "identities are minted where commands are made"
)]
pub async fn schedule_execution(
    ctx: &Context,
    caller: &Caller,
    command: &StartExecution,
    time: &str,
) -> Result<(), Error> {
    caller.require(Permission::ExecutionStart)?;
    let since_ms = times::ahead(time, clock::now_ms())?;
    let id = format!("{}_{}", command.workflow_id, Uuid::new_v4().simple());
    let arguments = json!({
        "allow_custom_parameters": command.allow_custom_parameters,
        "force": command.force,
        "is_dry_run": command.dry_run,
        "wait_after_fail": command.wait_after_fail_s.unwrap_or(executions::WAIT_AFTER_FAIL_S),
    });
    let event = ScheduleCreated {
        id,
        scope: Some(Scope {
            tenant: caller.tenant()?.to_owned(),
            visibility: String::new(),
            created_by: caller.username.clone(),
        }),
        deployment_id: command.deployment_id.clone(),
        workflow_id: command.workflow_id.clone(),
        since_ms,
        rule_json: json!({"count": 1}).to_string(),
        enabled: true,
        parameters_json: Value::Object(command.parameters.clone()).to_string(),
        execution_arguments_json: arguments.to_string(),
        created_at_ms: clock::now_ms(),
        next_occurrence_ms: Some(since_ms),
        ..ScheduleCreated::default()
    };
    add(ctx, caller, event).await
}

/// Changes a schedule; when it is due next follows from its rule as it is then.
///
/// # Errors
/// As [`create`].
pub async fn update(
    ctx: &Context,
    caller: &Caller,
    of: (&str, &str),
    change: &ChangeSchedule,
) -> Result<(), Error> {
    caller.require(Permission::ExecutionScheduleCreate)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            let schedule = own(view, caller, of).await?;
            if let Some(workflow) = &change.workflow_id {
                let deployment = own_deployment(view, caller, of.0).await?;
                executions::require_workflow(&deployment, workflow)?;
            }
            let event = changed(&schedule, change)?;
            let of = stream(&schedule.tenant_name, of.0, of.1);
            let mut decision = Decision::nothing();
            decision.rests_on(view, of.clone()).await?;
            decision.event(of, Event::ScheduleChanged(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}

/// What a change comes to.
///
/// # Errors
/// 400 for rules and times that are none.
pub(super) fn changed(
    schedule: &Schedule,
    change: &ChangeSchedule,
) -> Result<ScheduleChanged, Error> {
    let bound = |name: &str, value: &Option<Value>| {
        let value = value.as_ref().filter(|value| !value.is_null());
        value.map(|value| times::bound(name, value)).transpose()
    };
    let before: Value = serde_json::from_str(schedule.rule.get()).map_err(Error::internal)?;
    let rule = match change.rule.is_empty() {
        true => None,
        false => Some(change.rule.stored(Some(&before))?),
    };
    let (since_ms, until_ms) = (
        bound("since", &change.since)?,
        bound("until", &change.until)?,
    );
    let recurrence = Recurrence::new(
        rule.as_ref().unwrap_or(&before),
        since_ms.unwrap_or(schedule.own.since_ms),
        until_ms.or(schedule.own.until_ms),
    )?;
    Ok(ScheduleChanged {
        id: schedule.id.clone(),
        tenant: schedule.tenant_name.clone(),
        deployment_id: schedule.deployment_id.clone(),
        workflow_id: change.workflow_id.clone(),
        since_ms,
        until_ms,
        rule_json: rule.map(|rule| rule.to_string()),
        slip_min: minutes(change.slip)?,
        stop_on_fail: flag("stop_on_fail", change.stop_on_fail.as_ref())?,
        enabled: flag("enabled", change.enabled.as_ref())?,
        next_occurrence_ms: recurrence.next_after(clock::now_ms())?,
    })
}

/// Deletes a schedule. What it has started stays.
///
/// # Errors
/// 403, 404.
pub async fn delete(ctx: &Context, caller: &Caller, of: (&str, &str)) -> Result<(), Error> {
    caller.require(Permission::ExecutionScheduleCreate)?;
    ctx.store
        .command(&caller.meta(), None, async |view| {
            let view: &View = &view;
            let schedule = own(view, caller, of).await?;
            let event = ScheduleDeleted {
                id: schedule.id,
                tenant: schedule.tenant_name.clone(),
                deployment_id: schedule.deployment_id,
            };
            let of = stream(&schedule.tenant_name, of.0, of.1);
            let mut decision = Decision::nothing();
            decision.rests_on(view, of.clone()).await?;
            decision.event(of, Event::ScheduleDeleted(event));
            Ok((decision, ()))
        })
        .await?;
    Ok(())
}
