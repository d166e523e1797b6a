//! Schedules that are due: each occurrence is dealt with once, whoever sees it and how often.
use serde_json::{Map, Value};
use stratalog_projections::{
    At, Condition, ListQuery, Scope, Sort, View as ViewName,
    views::{executions::is_end, schedules::Schedule},
};
use stratalog_schema::{Event, events::ScheduleOccurred};
use uuid::Uuid;

use super::{Recurrence, stream};
use crate::{
    auth::Caller,
    commands::{
        executions::{self, Prepared, StartExecution},
        secrets::Opener,
    },
    context::Context,
    error::Error,
    store::{Decision, View},
};

/// Nobody is on time to the second.
const LATENESS_MS: i64 = 60_000;
/// Schedules looked at in one go.
const BATCH: i64 = 100;

/// Enabled schedules in the order they are due, with those due by `now_ms` first; and when the next
/// one is.
///
/// # Errors
/// Database errors.
pub async fn due(ctx: &Context, now_ms: i64) -> Result<(Vec<Schedule>, Option<i64>), Error> {
    let mut query = ListQuery::all(ViewName::Schedules, Scope::Everything)
        .with(Condition::AnyOf(
            "enabled".to_owned(),
            vec!["true".to_owned()],
        ))
        .with(Condition::Below("next_occurrence".to_owned(), i64::MAX));
    query.sort.push(Sort {
        field: "next_occurrence".to_owned(),
        descending: false,
    });
    query.size = Some(BATCH);
    let view = ctx.store.read(At::Now).await?;
    let mut schedules: Vec<Schedule> = view.select_as(&query).await?;
    drop(view.finish().await?);
    let is_due = |schedule: &Schedule| schedule.own.next_occurrence_ms <= Some(now_ms);
    let first_later = schedules.iter().find(|schedule| !is_due(schedule));
    let next_ms = first_later.and_then(|schedule| schedule.own.next_occurrence_ms);
    schedules.retain(is_due);
    Ok((schedules, next_ms))
}

/// Deals with one occurrence: starts its execution, or notes why not. The command's identity is the
/// occurrence's, so that it has one effect.
///
/// # Errors
/// Database errors.
pub async fn occur(ctx: &Context, schedule: &Schedule, now_ms: i64) -> Result<(), Error> {
    let Some(occurrence_ms) = schedule.own.next_occurrence_ms else {
        return Ok(());
    };
    let tenant = schedule.tenant_name.as_str();
    let of = stream(tenant, &schedule.deployment_id, &schedule.id);
    let name = format!("{of} {} {occurrence_ms}", schedule.own.created_at_ms);
    let command_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let caller = Caller::system(tenant).on_behalf_of(&schedule.created_by);
    let decide = async |view: std::sync::Arc<View>| {
        let view: &View = &view;
        let found: Option<Schedule> = view.get(&of.key).await?;
        let is_same =
            |found: &Schedule| found.enabled && found.own.next_occurrence_ms == Some(occurrence_ms);
        let Some(schedule) = found.filter(is_same) else {
            return Ok((Decision::nothing(), ()));
        };
        let mut decision = Decision::nothing();
        decision.rests_on(view, of.clone()).await?;
        let mut event = occurred(&schedule, occurrence_ms, now_ms)?;
        match hindrance(view, &schedule, (occurrence_ms, now_ms)).await? {
            Some((reason, disables)) => {
                event.reason = reason;
                event.disables = disables;
            }
            None => {
                let opener = Opener {
                    ctx,
                    caller: &caller,
                };
                start(view, (opener, &schedule), (&mut decision, &mut event)).await?;
            }
        }
        decision.event(of.clone(), Event::ScheduleOccurred(event));
        Ok((decision, ()))
    };
    ctx.store
        .command(&caller.meta(), Some(command_id), decide)
        .await?;
    Ok(())
}

fn occurred(
    schedule: &Schedule,
    occurrence_ms: i64,
    now_ms: i64,
) -> Result<ScheduleOccurred, Error> {
    let rule: Value = serde_json::from_str(schedule.rule.get()).map_err(Error::internal)?;
    let recurrence = Recurrence::new(&rule, schedule.own.since_ms, schedule.own.until_ms)?;
    Ok(ScheduleOccurred {
        id: schedule.id.clone(),
        tenant: schedule.tenant_name.clone(),
        deployment_id: schedule.deployment_id.clone(),
        occurrence_ms,
        next_occurrence_ms: recurrence.next_after(now_ms.max(occurrence_ms))?,
        ..ScheduleOccurred::default()
    })
}

/// Why nothing is started, and whether that is the end of the schedule.
async fn hindrance(
    view: &View,
    schedule: &Schedule,
    (occurrence_ms, now_ms): (i64, i64),
) -> Result<Option<(String, bool)>, Error> {
    let latest = match &schedule.own.latest_execution {
        Some(id) => executions::find(view, &schedule.tenant_name, id).await?,
        None => None,
    };
    if let Some(latest) = latest {
        if !is_end(&latest.status) {
            return Ok(Some((
                format!("the execution {} has not ended yet", latest.id),
                false,
            )));
        }
        if schedule.stop_on_fail && latest.status == "failed" {
            return Ok(Some((format!("the execution {} failed", latest.id), true)));
        }
    }
    let late_ms = now_ms - occurrence_ms;
    if late_ms > schedule.slip * 60_000 + LATENESS_MS {
        let late_s = late_ms / 1_000;
        return Ok(Some((format!("it is {late_s} s late"), false)));
    }
    Ok(None)
}

async fn start(
    view: &View,
    (opener, schedule): (Opener<'_>, &Schedule),
    (decision, event): (&mut Decision, &mut ScheduleOccurred),
) -> Result<(), Error> {
    let map = |json: &Option<stratalog_projections::views::Json>| match json {
        Some(json) => serde_json::from_str(json.get()).map_err(Error::internal),
        None => Ok(Map::new()),
    };
    let arguments = map(&schedule.execution_arguments)?;
    let is = |name: &str| arguments.get(name) == Some(&Value::Bool(true));
    let command = StartExecution {
        deployment_id: schedule.deployment_id.clone(),
        workflow_id: schedule.workflow_id.clone(),
        parameters: map(&schedule.parameters)?,
        allow_custom_parameters: is("allow_custom_parameters"),
        force: is("force"),
        dry_run: is("is_dry_run"),
        queue: true,
        wait_after_fail_s: arguments.get("wait_after_fail").and_then(Value::as_i64),
        ..StartExecution::default()
    };
    match executions::prepare(view, opener, &command).await {
        Ok((started, Prepared { id, refusal, .. })) => {
            event.execution_id = Some(id);
            event.reason = refusal.map(|error| error.to_string()).unwrap_or_default();
            decision.events.extend(started.events);
            decision.expected.extend(started.expected);
        }
        Err(Error::Refused { message, .. }) => event.reason = message,
        Err(error) => return Err(error),
    }
    Ok(())
}
