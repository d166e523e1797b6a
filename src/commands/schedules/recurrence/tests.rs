//! Which moments a rule comes to.
use serde_json::json;

use super::*;

fn at(text: &str) -> i64 {
    let time: DateTime<Utc> = text.parse().unwrap();
    time.timestamp_millis()
}

fn check(rule: Value, (since, from): (&str, &str), expected: &[&str]) {
    let recurrence = Recurrence::new(&rule, at(since), None).unwrap();
    let found = recurrence.from(from.parse().unwrap(), expected.len().max(2));
    let found: Vec<String> = found
        .unwrap()
        .iter()
        .map(|at| at.format("%FT%TZ").to_string())
        .collect();
    assert_eq!(found, expected, "{rule}");
}

#[test]
fn intervals_go_on_from_since() {
    const SINCE: &str = "2026-01-01T08:00:00Z";
    let two = ["2026-01-02T08:00:00Z", "2026-01-03T08:00:00Z"];
    let from = (SINCE, "2026-01-01T08:00:01Z");
    check(json!({"recurrence": "1 day"}), from, &two);
    check(json!({"recurrence": "1d", "count": 2}), from, &two[..1]);
    check(json!({"rrule": "RRULE:FREQ=DAILY;INTERVAL=1"}), from, &two);
    check(json!({"count": 1}), (SINCE, SINCE), &[SINCE]);
    check(json!({"count": 1}), from, &[]);
}

#[test]
fn long_ago_costs_nothing() {
    check(
        json!({"recurrence": "10 sec"}),
        ("1990-01-01T00:00:03Z", "2026-01-01T00:00:00Z"),
        &["2026-01-01T00:00:03Z", "2026-01-01T00:00:13Z"],
    );
    check(
        json!({"recurrence": "2 weeks", "weekdays": ["TU", "FR"]}),
        ("2020-01-06T06:00:00Z", "2026-01-05T00:00:00Z"),
        // the Monday of 2026-01-05 begins the 313th week, which is left out
        &["2026-01-13T06:00:00Z", "2026-01-16T06:00:00Z"],
    );
}

#[test]
fn weekdays_are_counted_within_months() {
    check(
        json!({"recurrence": "1 month", "weekdays": ["L-FR"]}),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
        &["2026-01-30T12:00:00Z", "2026-02-27T12:00:00Z"],
    );
    check(
        json!({"recurrence": "1 mo", "weekdays": ["2MO"]}),
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
        &["2026-01-12T12:00:00Z", "2026-02-09T12:00:00Z"],
    );
}

#[test]
fn what_never_happens_ends_the_search() {
    let rule = json!({"rrule": "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"});
    check(rule, ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), &[]);
}

#[test]
fn what_is_no_rule_is_refused() {
    for rule in [
        json!({}),
        json!({"count": 2}),
        json!({"count": 0}),
        json!({"recurrence": "often"}),
        json!({"recurrence": "0 days"}),
        json!({"recurrence": "99999 days"}),
        json!({"recurrence": "1 day", "weekdays": "MO"}),
        json!({"recurrence": "1 day", "weekdays": ["2MO"]}),
        json!({"recurrence": "1 month", "weekdays": ["7MO"]}),
        json!({"recurrence": "1 month", "weekdays": ["XX"]}),
        json!({"recurrence": "1 day", "count": 1_000_000_000}),
        json!({"rrule": "FREQ=SOMETIMES"}),
    ] {
        let error = Recurrence::new(&rule, 0, None).unwrap_err();
        assert_eq!(error.status(), 400, "{rule}: {error}");
    }
    let reversed = Recurrence::new(&json!({"count": 1}), 10, Some(5));
    assert_eq!(reversed.unwrap_err().status(), 400);
}
