//! What is asked of execution logs and events, and what is not shown any more.
use std::collections::HashSet;

use regex::bytes::Regex;
use stratalog_projections::{
    Condition, ListQuery, Scope, View as ViewName, views::executions::Execution,
};
use stratalog_schema::events::TelemetryRecord;

use super::like;
use crate::{
    auth::Caller,
    commands::event_deletions,
    error::Error,
    log::telemetry::{Key, Question, Test},
    rest::Query,
    store::View,
};

/// Page size when none is asked for; larger here than elsewhere.
const SIZE_DEFAULT: i64 = 10_000;

/// Makes a question look away from what was deleted.
///
/// # Errors
/// Database errors.
pub(super) async fn without_deleted(view: &View, question: &mut Question) -> Result<(), Error> {
    let deletions = event_deletions::of(view, question.deployments.as_deref()).await?;
    let mut hidden = Vec::with_capacity(deletions.len());
    for (position, deletion) in deletions {
        let mut deleted = self::question(&Query::of(&deletion.terms), &deletion.tenant)?;
        deleted.upto = position;
        hidden.push((deletion.deployment_id, deleted));
    }
    question.hide(view, hidden).await
}

/// Makes a question look away from private executions of others.
///
/// # Errors
/// 403 without a tenant; database errors.
pub(super) async fn without_private(
    view: &View,
    caller: &Caller,
    question: &mut Question,
) -> Result<(), Error> {
    let tenant = caller.tenant()?;
    if caller.administers(tenant) {
        return Ok(());
    }
    let any_of = |name: &str, values| Condition::AnyOf(name.to_owned(), values);
    let mut private = ListQuery::all(ViewName::Executions, Scope::Everything)
        .with(any_of("tenant_name", vec![tenant.to_owned()]))
        .with(any_of("visibility", vec!["private".to_owned()]));
    if let Some(wanted) = &question.executions {
        private = private.with(any_of("id", wanted.clone()));
    }
    let private: Vec<Execution> = view.select_as(&private).await?;
    let of_others = private
        .into_iter()
        .filter(|execution| execution.created_by != caller.username);
    let hidden: HashSet<String> = of_others.map(|execution| execution.id).collect();
    if !hidden.is_empty() {
        let is_shown = move |record: &TelemetryRecord| !hidden.contains(&record.execution_id);
        question.tests.push(Box::new(is_shown));
    }
    Ok(())
}

fn values(query: &Query, key: &str) -> Option<Vec<String>> {
    let values: Vec<String> = query.all(key).map(str::to_owned).collect();
    (!values.is_empty()).then_some(values)
}

pub(super) fn question(query: &Query, tenant: &str) -> Result<Question, Error> {
    let kinds = values(query, "type").unwrap_or_default();
    let asked = |kind: &str| kinds.is_empty() || kinds.iter().any(|asked| asked == kind);
    let mut question = Question {
        tenant: tenant.to_owned(),
        // a level is a log's, a type an event's
        events: asked("cloudify_event") && query.get("level").is_none(),
        logs: asked("cloudify_log") && query.get("event_type").is_none(),
        executions: values(query, "execution_id"),
        groups: values(query, "execution_group_id"),
        deployments: values(query, "deployment_id"),
        blueprints: values(query, "blueprint_id"),
        ..Question::default()
    };
    for (key, _) in query.iter().filter(|(key, _)| !key.starts_with('_')) {
        if let Some((test, mark)) = test(query, key)? {
            question.tests.push(test);
            question.marks.extend(mark);
        }
    }
    for range in query.all("_range") {
        question.tests.push(range_test(range)?);
    }
    for sort in query.all("_sort") {
        question.sort.push(sort_key(sort)?);
    }
    let whole = query.flag("_get_all_results")?;
    let size = query.number("_size")?.unwrap_or(SIZE_DEFAULT);
    let size = if whole { i64::MAX } else { size };
    question.size = usize::try_from(size).map_err(Error::internal)?;
    let offset = query.number("_offset")?.unwrap_or(0);
    question.offset = usize::try_from(offset).map_err(Error::internal)?;
    Ok(question)
}

fn one_of_texts(wanted: Vec<String>, field: fn(&TelemetryRecord) -> Option<&str>) -> Test {
    Box::new(move |record| {
        field(record).is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
    })
}

/// The test a filter means, and what marks records that can pass it; `None` for those the
/// references answer.
fn test(query: &Query, key: &str) -> Result<Option<(Test, Option<Regex>)>, Error> {
    let wanted = values(query, key).unwrap_or_default();
    let test = match key {
        "type" | "execution_id" | "execution_group_id" | "deployment_id" | "blueprint_id" => {
            return Ok(None);
        }
        "event_type" => one_of_texts(wanted, |r| Some(&r.event_type)),
        "level" => one_of_texts(wanted, |r| Some(&r.level)),
        "node_id" => one_of_texts(wanted, |r| r.node_name.as_deref()),
        "node_instance_id" => one_of_texts(wanted, |r| r.node_instance_id.as_deref()),
        "operation" => return like::test(&wanted, |r| r.operation.as_deref()).map(Some),
        "message" | "message.text" => return like::test(&wanted, |r| Some(&r.message)).map(Some),
        other => {
            return Err(Error::bad_parameters(format!(
                "Unknown field to filter by: {other}"
            )));
        }
    };
    Ok(Some((test, None)))
}

fn time_field(name: &str) -> Option<fn(&TelemetryRecord) -> i64> {
    match name.trim_start_matches('@') {
        "timestamp" => Some(|record| record.timestamp_us),
        "reported_timestamp" => Some(|record| record.reported_timestamp_us),
        _ => None,
    }
}

fn range_test(range: &str) -> Result<Test, Error> {
    let bad = || Error::bad_parameters(format!("Range `{range}` is not `field,from,to`"));
    let [name, from, to] = range.splitn(3, ',').collect::<Vec<_>>()[..] else {
        return Err(bad());
    };
    let field = time_field(name).ok_or_else(|| {
        Error::bad_parameters(format!("Unknown field for range filtering: {name}"))
    })?;
    let moment = |text: &str| match text.trim() {
        "" => Ok(None),
        text => crate::broker::wire::parse_timestamp(text)
            .map(|at| Some(at.timestamp_micros()))
            .ok_or_else(bad),
    };
    let (from, to) = (moment(from)?, moment(to)?);
    if from.is_none() && to.is_none() {
        return Err(bad());
    }
    Ok(Box::new(move |record| {
        let at = field(record);
        from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
    }))
}

fn sort_key(text: &str) -> Result<(Key, bool), Error> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text.trim_start_matches(['+', ' ']), false),
    };
    let key = match name.trim_start_matches('@') {
        "timestamp" => Key::Timestamp,
        "reported_timestamp" => Key::ReportedTimestamp,
        "_storage_id" => Key::Position,
        "message" => Key::Text(|r| &r.message),
        "event_type" => Key::Text(|r| &r.event_type),
        "level" => Key::Text(|r| &r.level),
        "logger" => Key::Text(|r| &r.logger),
        "execution_id" => Key::Text(|r| &r.execution_id),
        "deployment_id" => Key::Text(|r| &r.deployment_id),
        "blueprint_id" => Key::Text(|r| &r.blueprint_id),
        "workflow_id" => Key::Text(|r| &r.workflow_id),
        "operation" => Key::Text(|r| r.operation.as_deref().unwrap_or_default()),
        "node_name" | "node_id" => Key::Text(|r| r.node_name.as_deref().unwrap_or_default()),
        "node_instance_id" => Key::Text(|r| r.node_instance_id.as_deref().unwrap_or_default()),
        other => {
            return Err(Error::bad_parameters(format!(
                "Unknown field to sort by: {other}"
            )));
        }
    };
    Ok((key, descending))
}
