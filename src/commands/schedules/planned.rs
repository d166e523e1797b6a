//! Schedules that blueprints give their deployments (`default_schedules`).
use chrono::{DateTime, Days, Duration, Months, Utc};
use rrule::Frequency;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stratalog_projections::views::{
    deployments::Deployment,
    schedules::{self, Schedule},
};
use stratalog_schema::{
    Event,
    events::{ScheduleChanged, ScheduleCreated},
};

use super::{
    ChangeSchedule, MODEL, NewRule, NewSchedule,
    change::{changed, event},
    recurrence::recurrence,
    stream,
};
use crate::{
    auth::{Caller, Permission},
    clock,
    commands::{executions, ids},
    error::Error,
    store::{Decision, View},
};

/// A default schedule of a prepared plan, functions evaluated.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Planned {
    workflow: String,
    since: String,
    until: Option<String>,
    recurrence: Option<String>,
    count: Option<Value>,
    weekdays: Option<Value>,
    slip: Option<i64>,
    default_enabled: Option<Value>,
    stop_after_fail: Option<Value>,
    workflow_parameters: Option<Map<String, Value>>,
    execution_arguments: Option<Map<String, Value>>,
}

impl Planned {
    /// As previews of updates show it.
    pub(crate) fn described(&self, id: &str) -> Value {
        json!({
            "id": id, "workflow": self.workflow, "since": self.since, "until": self.until,
            "count": self.count, "recurrence": self.recurrence, "weekdays": self.weekdays,
        })
    }

    fn rule(&self) -> NewRule {
        NewRule {
            rrule: None,
            recurrence: self.recurrence.clone(),
            count: self.count.clone(),
            weekdays: self.weekdays.clone(),
        }
    }

    fn bounds(&self, now: DateTime<Utc>) -> Result<(Value, Option<Value>), Error> {
        let until = self.until.as_deref().filter(|until| !until.is_empty());
        let until = until.map(|until| bound(until, now)).transpose()?;
        Ok((bound(&self.since, now)?, until))
    }

    fn new_schedule(&self, now: DateTime<Utc>) -> Result<NewSchedule, Error> {
        let (since, until) = self.bounds(now)?;
        Ok(NewSchedule {
            workflow_id: self.workflow.clone(),
            since,
            until,
            parameters: self.workflow_parameters.clone(),
            execution_arguments: self.execution_arguments.clone(),
            rule: self.rule(),
            slip: self.slip,
            stop_on_fail: self.stop_after_fail.clone(),
            enabled: self.default_enabled.clone(),
            ..NewSchedule::default()
        })
    }

    /// Whether one that there is already starts anything is for its users to say.
    fn change(&self, now: DateTime<Utc>) -> Result<ChangeSchedule, Error> {
        let (since, until) = self.bounds(now)?;
        Ok(ChangeSchedule {
            since: Some(since),
            until,
            workflow_id: Some(self.workflow.clone()),
            slip: self.slip,
            stop_on_fail: self.stop_after_fail.clone(),
            enabled: None,
            rule: self.rule(),
        })
    }
}

/// A bound as schedules take it: what begins with `+` counts from now.
fn bound(text: &str, now: DateTime<Utc>) -> Result<Value, Error> {
    let Some(intervals) = text.strip_prefix('+') else {
        return Ok(text.into());
    };
    let mut at = now;
    for interval in intervals.split('+') {
        at = later(at, interval)?;
    }
    Ok(at.format("%Y-%m-%dT%H:%M:%S").to_string().into())
}

fn later(at: DateTime<Utc>, interval: &str) -> Result<DateTime<Utc>, Error> {
    let (number, unit) = recurrence(interval)?;
    let seconds = |each: i64| at.checked_add_signed(Duration::seconds(i64::from(number) * each));
    let days = |each: u64| at.checked_add_days(Days::new(u64::from(number) * each));
    let months = |each: u32| at.checked_add_months(Months::new(u32::from(number) * each));
    let then = match unit {
        Frequency::Secondly => seconds(1),
        Frequency::Minutely => seconds(60),
        Frequency::Hourly => seconds(3_600),
        Frequency::Daily => days(1),
        Frequency::Weekly => days(7),
        Frequency::Monthly => months(1),
        Frequency::Yearly => months(12),
    };
    then.ok_or_else(|| Error::bad_parameters(format!("+{interval} is too far away")))
}

/// The schedules of a deployment follow its plan: those it lacks are created, others changed. What
/// the plan does not name stays.
///
/// # Errors
/// 400 for rules and times that are none and workflows that do not exist, 403; database errors.
pub(crate) async fn follow(
    view: &View,
    caller: &Caller,
    (deployment, planned): (&Deployment, &[(String, Planned)]),
) -> Result<Decision, Error> {
    let mut decision = Decision::nothing();
    if planned.is_empty() {
        return Ok(decision);
    }
    let tenant = deployment.tenant_name.as_str();
    let caller = caller.in_tenant(tenant);
    caller.require(Permission::ExecutionScheduleCreate)?;
    let now = DateTime::from_timestamp_millis(clock::now_ms()).unwrap_or_default();
    for (id, planned) in planned {
        executions::require_workflow(deployment, &planned.workflow)?;
        let key = schedules::key(tenant, &deployment.id, id);
        let known: Option<Schedule> = match view.row(MODEL.0, &key).await? {
            Some(row) => Some(row.resource()?),
            None => None,
        };
        let of = stream(tenant, &deployment.id, id);
        let event = match known {
            None => Event::ScheduleCreated(created(&caller, (deployment, id), planned, now)?),
            Some(known) => {
                let change = changed(&known, &planned.change(now)?)?;
                if is_nothing(&known, &change) {
                    continue;
                }
                Event::ScheduleChanged(change)
            }
        };
        decision.rests_on(view, of.clone()).await?;
        decision.event(of, event);
    }
    Ok(decision)
}

fn created(
    caller: &Caller,
    (deployment, id): (&Deployment, &str),
    planned: &Planned,
    now: DateTime<Utc>,
) -> Result<ScheduleCreated, Error> {
    ids::check("schedule_id", id)?;
    let mut event = event(caller, (&deployment.id, id), &planned.new_schedule(now)?)?;
    if let Some(scope) = &mut event.scope {
        scope.visibility.clone_from(&deployment.visibility);
    }
    Ok(event)
}

/// Whether a change leaves a schedule as it is.
fn is_nothing(known: &Schedule, change: &ScheduleChanged) -> bool {
    fn is_same<T: PartialEq>(wanted: Option<&T>, known: &T) -> bool {
        wanted.is_none_or(|wanted| wanted == known)
    }
    let rule = change.rule_json.as_deref();
    let rule = rule.map(serde_json::from_str::<Value>).transpose();
    let known_rule = serde_json::from_str::<Value>(known.rule.get());
    is_same(change.workflow_id.as_ref(), &known.workflow_id)
        && is_same(change.since_ms.as_ref(), &known.own.since_ms)
        && (change.until_ms.is_none() || change.until_ms == known.own.until_ms)
        && is_same(change.slip_min.as_ref(), &known.slip)
        && is_same(change.stop_on_fail.as_ref(), &known.stop_on_fail)
        && matches!((rule, known_rule), (Ok(Some(rule)), Ok(known)) if rule == known)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn bounds_may_count_from_now() {
        let now = DateTime::from_timestamp_millis(1_767_312_000_000).unwrap();
        for (written, expected) in [
            ("2026-05-01 10:00:00", "2026-05-01 10:00:00"),
            ("+4 hours", "2026-01-02T04:00:00"),
            ("+1mo+2d+30 min", "2026-02-04T00:30:00"),
            ("+1 year", "2027-01-02T00:00:00"),
        ] {
            assert_eq!(bound(written, now).unwrap(), json!(expected), "{written}");
        }
        assert_eq!(bound("+soon", now).unwrap_err().status(), 400);
    }
}
