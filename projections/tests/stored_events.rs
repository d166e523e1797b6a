//! Bytes once stored stay readable: an example of every event, and of every retired one, is kept
//! under `tests/data/events` and has to decode, show the same and fold for ever.
//!
//! A new event needs its example: run this with `STRATALOG_ADD_EVENTS=1` and commit what was added.
//! Lines that are there are never written again; when one of them fails, the change that made it
//! fail cannot read logs that exist.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fmt::Write as _, fs, path::PathBuf};

use chrono::DateTime;
use serde_json::{Value, json};
use stratalog_projections::{Rows, fold};
use stratalog_schema::{Category, Event, Meta, Recorded, StreamId, envelope};
use uuid::Uuid;

mod example;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data/events")
        .join(name)
}

/// One stored row.
struct Stored {
    type_no: i16,
    name: String,
    bytes: Vec<u8>,
    shows: Value,
}

impl Stored {
    fn parse(line: &str) -> Self {
        let line: Value = serde_json::from_str(line).unwrap();
        Self {
            type_no: serde_json::from_value(line["type_no"].clone()).unwrap(),
            name: line["type"].as_str().unwrap().to_owned(),
            bytes: hex::decode(line["bytes"].as_str().unwrap()).unwrap(),
            shows: line["shows"].clone(),
        }
    }

    fn decoded(&self) -> (Meta, Event) {
        envelope::decode(1, self.type_no, &self.bytes)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Whether what is shown now is what was shown then; fields that came later have nothing in them.
fn still_shows(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.keys().all(|name| now.contains_key(name))
                && now.iter().all(|(name, value)| match then.get(name) {
                    Some(then) => still_shows(value, then),
                    None => is_nothing(value),
                })
        }
        (Value::Array(now), Value::Array(then)) => {
            now.len() == then.len() && now.iter().zip(then).all(|(n, t)| still_shows(n, t))
        }
        _ => now == then,
    }
}

fn is_nothing(value: &Value) -> bool {
    let nothing = [json!(null), json!(""), json!(0), json!(false), json!([])];
    nothing.contains(value) || *value == json!("********")
}

fn stored(name: &str) -> Vec<Stored> {
    let text = fs::read_to_string(file(name)).unwrap_or_default();
    text.lines().map(Stored::parse).collect()
}

fn meta() -> Meta {
    Meta {
        tenant: "green".to_owned(),
        actor: "ann".to_owned(),
        request_id: "request".to_owned(),
        execution_id: "one".to_owned(),
        causation_id: Some(Uuid::from_u128(1)),
        correlation_id: Some(Uuid::from_u128(2)),
        auth_method: "token".to_owned(),
    }
}

/// Adds examples of the events that have none.
fn add_missing() {
    let known: Vec<String> = stored("current.jsonl")
        .into_iter()
        .map(|s| s.name)
        .collect();
    let mut added = String::new();
    for (name, event) in example::events() {
        if known.contains(&name) || example::is_retired(&name) {
            continue;
        }
        let shows = serde_json::to_value(&event).unwrap();
        let (type_no, bytes) = envelope::encode(&meta(), event);
        let line = json!({
            "type_no": type_no, "type": name, "bytes": hex::encode(bytes), "shows": shows,
        });
        writeln!(added, "{line}").unwrap();
    }
    let text = fs::read_to_string(file("current.jsonl")).unwrap_or_default() + &added;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| Stored::parse(line).type_no);
    fs::write(file("current.jsonl"), lines.join("\n") + "\n").unwrap();
}

#[test]
fn every_event_has_an_example_that_stays_what_it_is() {
    if std::env::var_os("STRATALOG_ADD_EVENTS").is_some() {
        add_missing();
    }
    let examples = stored("current.jsonl");
    for (name, _) in example::events() {
        assert!(
            example::is_retired(&name) || examples.iter().any(|stored| stored.name == name),
            "{name} has no example: run with STRATALOG_ADD_EVENTS=1"
        );
    }
    for stored in &examples {
        let (found, event) = stored.decoded();
        assert_eq!(found, meta(), "{}", stored.name);
        let shown = serde_json::to_value(&event).unwrap();
        assert!(
            still_shows(&shown, &stored.shows),
            "{}: {shown}",
            stored.name
        );
        let (type_no, bytes) = envelope::encode(&found, event);
        assert_eq!(type_no, stored.type_no, "{}", stored.name);
        assert_eq!(
            hex::encode(bytes),
            hex::encode(&stored.bytes),
            "{}",
            stored.name
        );
    }
}

#[test]
fn retired_events_become_current_ones() {
    let retired = stored("retired.jsonl");
    for (name, _) in example::events() {
        assert!(
            !example::is_retired(&name) || retired.iter().any(|stored| stored.name == name),
            "{name} is retired, but its stored bytes are not kept"
        );
    }
    for stored in &retired {
        let (found, event) = stored.decoded();
        let shown = serde_json::to_value(&event).unwrap();
        assert!(
            still_shows(&shown, &stored.shows),
            "{}: {shown}",
            stored.name
        );
        // what came out is current: it goes through unchanged from now on
        let (type_no, bytes) = envelope::encode(&found, event);
        let (_, again) = envelope::decode(1, type_no, &bytes).unwrap();
        let shown = serde_json::to_value(&again).unwrap();
        assert!(
            still_shows(&shown, &stored.shows),
            "{}: {shown}",
            stored.name
        );
    }
}

/// All examples as one log: what is created first, then the retired ones, what is deleted last.
#[test]
fn every_stored_event_folds() {
    let (mut gone, mut events): (Vec<Stored>, Vec<Stored>) = stored("current.jsonl")
        .into_iter()
        .partition(|stored| example::takes_away(&stored.name));
    events.extend(stored("retired.jsonl"));
    gone.reverse();
    events.extend(gone);
    assert!(events.len() > 40);
    let mut rows = Rows::default();
    for (position, stored) in (1..).zip(&events) {
        let (meta, event) = stored.decoded();
        let recorded = Recorded {
            position,
            stream: StreamId::global(Category::Settings, "all"),
            version: position,
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::from_u128(3),
            meta,
            event,
        };
        fold(&recorded, &mut rows)
            .unwrap_or_else(|error| panic!("{} does not fold: {error}", stored.name));
    }
    assert!(!rows.is_empty());
}
