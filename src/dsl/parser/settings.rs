//! `deployment_settings`: what deployments made of the blueprint start with.

use std::sync::Arc;

use crate::dsl::value::{Map, Value};
use chrono::{Datelike, MappedLocalTime};
use chrono::{NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::context::{Context, map, text};
use crate::dsl::diagnostics::{Diagnostic, Exception, Path};

const SECTION: &str = "deployment_settings";
const WEEKDAYS: [&str; 7] = ["su", "mo", "tu", "we", "th", "fr", "sa"];

pub(super) fn read(context: &Context<'_>) -> Result<Map, Diagnostic> {
    let Some(written) = context.value(SECTION).and_then(Value::as_object) else {
        return Ok(Map::new());
    };
    let mut settings = written.clone();
    let mut schedules = Map::new();
    for (name, schedule) in map(written.get("default_schedules")) {
        let path = Path::from([SECTION, "default_schedules", name]);
        let schedule = self::schedule(context, map(Some(schedule)), &path)?;
        schedules.insert(name.clone(), Value::Object(schedule));
    }
    settings.insert("default_schedules", Value::Object(schedules));
    Ok(settings)
}

fn schedule(context: &Context<'_>, fields: &Map, path: &Path) -> Result<Map, Diagnostic> {
    check_weekdays(context, fields, &path.then("weekdays"))?;
    check_parameters(context, fields, &path.then("workflow_parameters"))?;
    let zone = text(fields, "timezone").filter(|zone| !zone.is_empty());
    let mut result = fields.clone();
    result.shift_remove("timezone");
    for key in ["since", "until"] {
        if let Some(written) = text(fields, key) {
            let moment = moment(context, written, zone)
                .map_err(|problem| bad_time(context, problem, &path.then(key)))?;
            result.insert(key.to_owned(), moment.into());
        }
    }
    if let Some(recurrence) = text(fields, "recurrence")
        && !is_delta(recurrence)
    {
        let problem = format!("'{recurrence}' is no interval");
        return Err(bad_time(context, problem, &path.then("recurrence")));
    }
    Ok(result)
}

fn bad_time(context: &Context<'_>, problem: String, path: &Path) -> Diagnostic {
    let exception = Exception::Uncontrolled("NonRecoverableError");
    context
        .diagnostic(exception, None, problem, path.clone())
        .expected("an interval such as '2 days', '+1h' from now, or 'YYYY-MM-DD HH:MM'")
}

fn check_weekdays(context: &Context<'_>, fields: &Map, path: &Path) -> Result<(), Diagnostic> {
    let days = fields.get("weekdays").and_then(Value::as_array);
    for (position, day) in days.into_iter().flatten().enumerate() {
        let written = day.as_str().unwrap_or_default().to_lowercase();
        if !WEEKDAYS.iter().any(|day| written.ends_with(day)) {
            let message = format!("'{written}' is no weekday");
            return Err(context
                .diagnostic(Exception::Parsing, 1, message, path.then(position))
                .expected("su, mo, tu, we, th, fr or sa, perhaps after a number"));
        }
    }
    Ok(())
}

/// Parameters of a scheduled workflow are fixed before any attribute exists.
fn check_parameters(context: &Context<'_>, fields: &Map, path: &Path) -> Result<(), Diagnostic> {
    let parameters = map(fields.get("workflow_parameters"));
    let is_attribute = |(name, value): (&Arc<str>, &Value)| {
        &**name == "get_attribute" || map(Some(value)).contains_key("get_attribute")
    };
    if !parameters.iter().any(is_attribute) {
        return Ok(());
    }
    let message = "a parameter of a schedule cannot be an attribute".to_owned();
    Err(context
        .diagnostic(Exception::Parsing, 1, message, path.clone())
        .expected("a value, or a function other than get_attribute"))
}

/// A time as the plan has it: relative ones as written, others in UTC.
fn moment(context: &Context<'_>, written: &str, zone: Option<&str>) -> Result<String, String> {
    if let Some(deltas) = written.strip_prefix('+') {
        return match deltas.split('+').find(|delta| !is_delta(delta)) {
            Some(delta) => Err(format!("'{delta}' is no interval")),
            None => Ok(written.to_owned()),
        };
    }
    let local = NaiveDateTime::parse_from_str(written, "%Y-%m-%d %H:%M").or_else(|_| {
        let time = NaiveTime::parse_from_str(written, "%H:%M").ok();
        let today = context.options.today.zip(time);
        today.map(|(day, time)| day.and_time(time)).ok_or(())
    });
    let Ok(local) = local else {
        return Err(format!("'{written}' is no time"));
    };
    let utc = match zone {
        None => local,
        Some(name) => {
            let zone: Tz = name
                .parse()
                .map_err(|_| format!("there is no timezone '{name}'"))?;
            match zone.from_local_datetime(&local) {
                MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => {
                    moment.with_timezone(&Utc).naive_utc()
                }
                MappedLocalTime::None => return Err(format!("'{written}' never was in {name}")),
            }
        }
    };
    Ok(format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        utc.year(),
        utc.month(),
        utc.day(),
        utc.hour(),
        utc.minute(),
        utc.second()
    ))
}

/// A number and a unit: `2 days`, `1w`. Nothing, and a number alone, pass as they do in the
/// reference.
fn is_delta(written: &str) -> bool {
    let written = written.trim_start();
    let unit = written.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    if unit.is_empty() {
        return true;
    }
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_lowercase();
    let unit = unit.strip_suffix('s').unwrap_or(&unit);
    written.starts_with(|char: char| char.is_ascii_digit())
        && matches!(
            unit,
            "min"
                | "minute"
                | "h"
                | "hour"
                | "d"
                | "day"
                | "w"
                | "week"
                | "mo"
                | "month"
                | "y"
                | "year"
        )
}
