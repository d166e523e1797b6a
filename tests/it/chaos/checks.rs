//! What must hold after any number of kills.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

use serde_json::Value;
use stratalog::{
    db::Database,
    log::{read, verify::verify},
};
use stratalog_projections::views::{executions::is_end, operations::is_terminal};
use stratalog_schema::{Event, Recorded};
use tokio_postgres::Client as Connection;

use super::Outcome;

/// A script that was interrupted is not run again by itself.
const INTERRUPTED: &str = "Cannot resume - operation not resumable";
/// Acknowledged updates that are looked at.
const LOOKED_AT: usize = 200;

pub(super) async fn all(outcome: &Outcome, database_url: &str) {
    let mut connection = Database::new(database_url, 1)
        .unwrap()
        .dedicated()
        .await
        .unwrap();
    let verified = verify(&mut connection, None, &|_| {}).await.unwrap();
    assert_eq!(verified.fault, None);
    let events = events(&connection).await;
    once(&connection, &events).await;
    acknowledged(outcome).await;
    let completed = ended(outcome);
    journal(outcome);
    told(outcome).await;
    let taken_over = taken_over(&events);
    for execution in &taken_over {
        let path = format!("executions/{execution}/timeline");
        let timeline = outcome.client.get(&path).await;
        assert!(timeline.to_string().contains("taken over by"), "{timeline}");
    }
    println!("{} executions were taken over", taken_over.len());
    println!(
        "{} executions done, {} ended with their script; {} updates acknowledged; {} events, {} \
         records",
        completed,
        outcome.executions.len() - completed,
        outcome.written.len(),
        verified.progress.events,
        verified.progress.records,
    );
}

async fn events(connection: &Connection) -> Vec<Recorded> {
    let head = read::head(connection).await.unwrap();
    read::page(connection, 0, head, i64::MAX).await.unwrap()
}

/// No event twice, under the same id or another.
async fn once(connection: &Connection, events: &[Recorded]) {
    let doubled = "SELECT count(*) - count(DISTINCT event_id) FROM es.log";
    let doubled: i64 = connection.query_one(doubled, &[]).await.unwrap().get(0);
    assert_eq!(doubled, 0, "events with the same id");
    let mut states: HashMap<String, String> = HashMap::new();
    let mut is_new = |key: String, state: &str| {
        let before = states.insert(key.clone(), state.to_owned());
        assert_ne!(before.as_deref(), Some(state), "{key} twice");
        before
    };
    for recorded in events {
        match &recorded.event {
            Event::NodeInstanceChanged(e) => {
                // what a failed scaling puts back comes with its properties, whatever it was
                let is_put_back = e.runtime_properties_json.is_some();
                if let Some(state) = e.state.as_ref().filter(|_| !is_put_back) {
                    is_new(format!("instance {}", e.id), state);
                }
            }
            Event::ExecutionStatusChanged(e) => {
                let before = is_new(format!("execution {}", e.id), &e.status);
                assert!(
                    !before.is_some_and(|status| is_end(&status)),
                    "{e:?} after its end"
                );
            }
            Event::OperationsChanged(e) => {
                for change in e.changes.iter().filter(|change| is_terminal(&change.state)) {
                    let before = is_new(format!("operation {}", change.id), &change.state);
                    assert_eq!(before, None, "{change:?} after its end");
                }
            }
            _ => {}
        }
    }
}

/// Each update that was acknowledged is what the log shows at its position.
async fn acknowledged(outcome: &Outcome) {
    assert!(!outcome.written.is_empty());
    let step = outcome.written.len().div_ceil(LOOKED_AT);
    for written in outcome.written.iter().rev().step_by(step) {
        let path = format!(
            "node-instances/{}?_as_of={}",
            outcome.still, written.position
        );
        let instance = outcome.client.get(&path).await;
        assert_eq!(
            instance["runtime_properties"]["n"], written.n,
            "{written:?}"
        );
    }
}

/// Executions either came through or say what was interrupted; how many came through.
fn ended(outcome: &Outcome) -> usize {
    let mut completed = 0;
    for execution in &outcome.executions {
        match execution["status"].as_str() {
            Some("terminated") => completed += 1,
            _ => {
                let error = execution["error"].as_str().unwrap_or_default();
                assert!(error.contains(INTERRUPTED), "{execution}");
            }
        }
    }
    completed
}

/// Every operation ran once in its execution, or not at all.
fn journal(outcome: &Outcome) {
    let text = fs::read_to_string(&outcome.journal).unwrap();
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        *runs.entry(line).or_default() += 1;
    }
    let doubled: Vec<_> = runs.iter().filter(|(_, n)| **n > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let is_done = |e: &&Value| e["workflow_id"] == "install" && e["status"] == "terminated";
    let installed = outcome.executions.iter().filter(is_done);
    for execution in installed {
        let id = execution["id"].as_str().unwrap();
        let own = runs.keys().filter(|line| line.starts_with(id));
        // two operations of two instances each
        assert_eq!(own.count(), 4, "{execution} {runs:?}");
    }
}

/// Nothing is told twice about an execution, and the end of each is told.
async fn told(outcome: &Outcome) {
    for execution in &outcome.executions {
        let id = execution["id"].as_str().unwrap();
        let query = format!("events?execution_id={id}&type=cloudify_event");
        let mut seen: HashMap<String, usize> = HashMap::new();
        for event in outcome.client.list(&query).await {
            let parts = ["event_type", "message", "node_instance_id", "operation"];
            let parts: Vec<&Value> = parts.iter().map(|part| &event[*part]).collect();
            let what = serde_json::to_string(&parts).unwrap();
            *seen.entry(what).or_default() += 1;
        }
        let doubled: Vec<_> = seen.iter().filter(|(_, n)| **n > 1).collect();
        assert!(doubled.is_empty(), "{execution}: {doubled:?}");
        let ends = ["workflow_succeeded", "workflow_failed"];
        let is_end = |what: &&String| ends.iter().any(|end| what.contains(end));
        assert_eq!(seen.keys().filter(is_end).count(), 1, "{execution}");
    }
}

/// Executions that began in one term and ended in another. Each notes who ended it.
fn taken_over(events: &[Recorded]) -> Vec<String> {
    let mut term = 0;
    let mut began: HashMap<&str, i32> = HashMap::new();
    let mut noted: HashMap<&str, i32> = HashMap::new();
    let mut taken_over = Vec::new();
    for recorded in events {
        match &recorded.event {
            Event::ExecutorChanged(_) => term += 1,
            Event::DecisionNoted(e) if e.kind == "taken_over" => {
                noted.insert(&e.execution_id, term);
            }
            Event::ExecutionStatusChanged(e) if e.status == "started" => {
                began.insert(&e.id, term);
            }
            Event::ExecutionStatusChanged(e) if is_end(&e.status) => {
                let began = began.remove(e.id.as_str());
                if began.is_some_and(|began| began < term) {
                    assert_eq!(noted.get(e.id.as_str()), Some(&term), "{e:?}");
                    taken_over.push(e.id.clone());
                }
            }
            _ => {}
        }
    }
    assert!(term > 0);
    taken_over
}
