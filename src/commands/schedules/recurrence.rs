//! When a schedule is due: RFC 5545 rules, and the shorter form of an interval with weekdays. All
//! times are UTC.
use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};
use rrule::{Frequency, NWeekday, RRule, RRuleSet, Tz, Unvalidated, Weekday};
use serde_json::Value;

use crate::error::Error;

/// Highest number of occurrences a rule may be limited to.
const COUNT_MAX: u32 = 100_000;

/// A rule with its bounds.
#[derive(Debug, Clone)]
pub struct Recurrence {
    rule: Option<RRule<Unvalidated>>,
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::bad_parameters(message)
}

fn time(ms: i64) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_millis(ms).ok_or_else(|| bad("a time of the schedule is out of range"))
}

impl Recurrence {
    /// Reads a stored rule.
    ///
    /// # Errors
    /// 400 for a rule that is none.
    pub fn new(rule: &Value, since_ms: i64, until_ms: Option<i64>) -> Result<Self, Error> {
        let parsed = Self {
            rule: parse(rule)?,
            since: time(since_ms)?,
            until: until_ms.map(time).transpose()?,
        };
        if parsed.until.is_some_and(|until| until < parsed.since) {
            return Err(bad("`until` lies before `since`"));
        }
        // whatever the rules' library finds wrong is found now
        parsed.from(parsed.since, 1)?;
        Ok(parsed)
    }

    /// The first occurrence after a moment; milliseconds since the epoch.
    ///
    /// # Errors
    /// 400 for a rule that is none.
    pub fn next_after(&self, after_ms: i64) -> Result<Option<i64>, Error> {
        let first = self.from(time(after_ms)? + Duration::milliseconds(1), 1)?;
        Ok(first.first().map(DateTime::timestamp_millis))
    }

    /// The first occurrences from a moment on.
    ///
    /// # Errors
    /// 400 for a rule that is none.
    pub fn from(&self, from: DateTime<Utc>, limit: usize) -> Result<Vec<DateTime<Utc>>, Error> {
        let is_within = |at: &DateTime<Utc>| self.until.is_none_or(|until| *at <= until);
        let Some(rule) = &self.rule else {
            let once = Some(self.since).filter(|at| *at >= from && is_within(at));
            return Ok(once.into_iter().collect());
        };
        let start = forwarded(rule, self.since, from).with_timezone(&Tz::UTC);
        let set: RRuleSet = rule
            .clone()
            .build(start)
            .map_err(|error| bad(format!("Invalid recurrence rule: {error}")))?;
        let occurrences = set.limit();
        Ok((&occurrences)
            .into_iter()
            .map(|at| at.with_timezone(&Utc))
            .skip_while(|at| *at < from)
            .take_while(is_within)
            .take(limit)
            .collect())
    }
}

/// A start as near as possible before `from` with which the rule gives the same occurrences: whole
/// intervals are passed over where nothing is counted.
fn forwarded(
    rule: &RRule<Unvalidated>,
    since: DateTime<Utc>,
    from: DateTime<Utc>,
) -> DateTime<Utc> {
    let unit = match rule.get_freq() {
        Frequency::Secondly => Duration::seconds(1),
        Frequency::Minutely => Duration::minutes(1),
        Frequency::Hourly => Duration::hours(1),
        Frequency::Daily => Duration::days(1),
        Frequency::Weekly => Duration::weeks(1),
        Frequency::Monthly | Frequency::Yearly => return since,
    };
    if rule.get_count().is_some() || from <= since {
        return since;
    }
    let interval = unit * i32::from(rule.get_interval().max(1));
    let passed = (from - since).num_milliseconds() / interval.num_milliseconds().max(1);
    // one interval is left over, so that nothing at its beginning is lost
    let whole = passed.saturating_sub(1);
    since + Duration::milliseconds(interval.num_milliseconds().saturating_mul(whole))
}

/// The rule of a stored form; none for something that happens once.
fn parse(rule: &Value) -> Result<Option<RRule<Unvalidated>>, Error> {
    let parsed = match rule.get("rrule").and_then(Value::as_str) {
        Some(text) => {
            let text = text.trim();
            let text = text.strip_prefix("RRULE:").unwrap_or(text);
            let parsed = RRule::from_str(text);
            parsed.map_err(|error| bad(format!("Invalid recurrence rule `{text}`: {error}")))?
        }
        None => match interval(rule)? {
            Some(rule) => rule,
            None => return Ok(None),
        },
    };
    if parsed.get_count().is_some_and(|count| count > COUNT_MAX) {
        return Err(bad(format!(
            "A schedule may be limited to at most {COUNT_MAX} occurrences"
        )));
    }
    Ok(Some(parsed))
}

fn interval(rule: &Value) -> Result<Option<RRule<Unvalidated>>, Error> {
    let count = match rule.get("count") {
        None | Some(Value::Null) => None,
        Some(count) => {
            let number = count.as_u64().and_then(|count| u32::try_from(count).ok());
            let number = number.filter(|count| (1..=COUNT_MAX).contains(count));
            Some(number.ok_or_else(|| {
                bad(format!(
                    "`count` must be an integer between 1 and {COUNT_MAX}, got {count}"
                ))
            })?)
        }
    };
    let Some(text) = rule.get("recurrence").and_then(Value::as_str) else {
        // they say nothing about a single moment, but wrong ones are still refused
        weekdays(rule.get("weekdays"), Frequency::Yearly)?;
        if count == Some(1) {
            return Ok(None);
        }
        return Err(bad(
            "recurrence must be specified for execution count larger than 1",
        ));
    };
    let (number, frequency) = recurrence(text)?;
    let days = weekdays(rule.get("weekdays"), frequency)?;
    let mut parsed = RRule::new(frequency).interval(number).by_weekday(days);
    if let Some(count) = count {
        parsed = parsed.count(count);
    }
    Ok(Some(parsed))
}

/// `2 weeks`, `30 min`.
pub(super) fn recurrence(text: &str) -> Result<(u16, Frequency), Error> {
    let refuse = || {
        bad(format!(
            "`{text}` is not a legal recurrence expression. Supported format is: <number> \
             seconds|minutes|hours|days|weeks|months|years"
        ))
    };
    let text = text.trim();
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u16 = number.parse().map_err(|_| refuse())?;
    let frequency = match unit.trim().to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Frequency::Secondly,
        "min" | "mins" | "minute" | "minutes" => Frequency::Minutely,
        "h" | "hour" | "hours" => Frequency::Hourly,
        "d" | "day" | "days" => Frequency::Daily,
        "w" | "week" | "weeks" => Frequency::Weekly,
        "mo" | "month" | "months" => Frequency::Monthly,
        "y" | "year" | "years" => Frequency::Yearly,
        _ => return Err(refuse()),
    };
    if number == 0 {
        return Err(refuse());
    }
    Ok((number, frequency))
}

fn weekdays(days: Option<&Value>, frequency: Frequency) -> Result<Vec<NWeekday>, Error> {
    let days = match days {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(days)) => days,
        Some(other) => return Err(bad(format!("`weekdays` must be a list, got {other}"))),
    };
    days.iter().map(|day| weekday(day, frequency)).collect()
}

/// `MO`, `2TU`, `L-FR`.
fn weekday(day: &Value, frequency: Frequency) -> Result<NWeekday, Error> {
    let refuse = || {
        bad(format!(
            "{day} is not a legal weekday: MO to SU are expected, with 1 to 4 or L- before them in \
             recurrences of months or years"
        ))
    };
    let text = day.as_str().ok_or_else(refuse)?.trim().to_ascii_uppercase();
    let (nth, name) = match text.strip_prefix("L-") {
        Some(name) => (Some(-1), name),
        None => {
            let name = text.trim_start_matches(|c: char| c.is_ascii_digit());
            let number = text.strip_suffix(name).unwrap_or_default();
            let nth: Option<i16> = match number {
                "" => None,
                number => Some(number.parse().map_err(|_| refuse())?),
            };
            (nth, name)
        }
    };
    if nth.is_some_and(|nth| !matches!(nth, -1 | 1..=4)) {
        return Err(refuse());
    }
    let is_long = matches!(frequency, Frequency::Monthly | Frequency::Yearly);
    if nth.is_some() && !is_long {
        return Err(refuse());
    }
    let name = match name {
        "MO" => Weekday::Mon,
        "TU" => Weekday::Tue,
        "WE" => Weekday::Wed,
        "TH" => Weekday::Thu,
        "FR" => Weekday::Fri,
        "SA" => Weekday::Sat,
        "SU" => Weekday::Sun,
        _ => return Err(refuse()),
    };
    Ok(NWeekday::new(nth, name))
}

#[cfg(test)]
mod tests;
