//! Schedules with what became of their latest execution, and when they are due.
use std::collections::HashMap;

use chrono::DateTime;
use serde_json::{Value, json};
use stratalog_projections::{
    Condition, ListQuery, Scope, StoredRow, View as ViewName,
    views::{schedules::Schedule, scoped},
};

use super::appended;
use crate::{commands::schedules::Recurrence, error::Error, store::View};

/// Occurrences told.
const OCCURRENCES_MAX: usize = 1_000;

/// The documents of these rows, in their order.
pub(in crate::rest) async fn join(view: &View, rows: &[StoredRow]) -> Result<Vec<String>, Error> {
    let schedules: Vec<Schedule> = rows
        .iter()
        .map(StoredRow::resource)
        .collect::<Result<_, _>>()?;
    let keys: Vec<String> = schedules.iter().filter_map(latest).collect();
    let mut statuses: HashMap<String, Option<String>> = HashMap::new();
    if !keys.is_empty() {
        let query =
            ListQuery::all(ViewName::Executions, Scope::Everything).with(Condition::Keys(keys));
        for (key, mut values) in view.pick(&query, &["status"]).await? {
            statuses.insert(key, values.pop().flatten());
        }
    }
    let mut documents = Vec::with_capacity(rows.len());
    for (row, schedule) in rows.iter().zip(&schedules) {
        let status = latest(schedule).and_then(|key| statuses.get(&key).cloned().flatten());
        let members = json!({
            "latest_execution_status": status,
            "all_next_occurrences": occurrences(schedule)?,
        });
        let members = members.to_string();
        let members = members.trim_start_matches('{').trim_end_matches('}');
        documents.push(appended(&row.doc, members));
    }
    Ok(documents)
}

fn latest(schedule: &Schedule) -> Option<String> {
    let id = schedule.own.latest_execution.as_ref()?;
    Some(scoped(&schedule.tenant_name, id))
}

/// From the next one on.
fn occurrences(schedule: &Schedule) -> Result<Vec<String>, Error> {
    let Some(next) = schedule.own.next_occurrence_ms else {
        return Ok(Vec::new());
    };
    let rule: Value = serde_json::from_str(schedule.rule.get()).map_err(Error::internal)?;
    let recurrence = Recurrence::new(&rule, schedule.own.since_ms, schedule.own.until_ms)?;
    let next = DateTime::from_timestamp_millis(next).unwrap_or_default();
    let found = recurrence.from(next, OCCURRENCES_MAX)?;
    Ok(found
        .iter()
        .map(|at| at.format("%F %T").to_string())
        .collect())
}
