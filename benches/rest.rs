//! Lists of many rows over HTTP: pages of 100 at 16 clients, each question once anew (every request
//! asks for something else) and once again and again (as consoles do). Arguments are parts of the
//! names of questions that are wanted; all are without any.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod support;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stratalog::{
    config::Settings,
    log::{Append, NewEvent},
    server::{self, Running},
};
use stratalog_schema::{
    Category, Event, Meta, StreamId,
    events::{
        DeploymentCreated, ExecutionCreated, Label, NodeInstance, NodeInstancesCreated,
        TelemetryRecord,
    },
};
use support::Times;
use uuid::Uuid;

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TENANT: &str = "default_tenant";
const CLIENTS: usize = 16;
/// Rows of an append while filling.
const CHUNK: usize = 1_000;
/// 2026-01-01, milliseconds since the epoch.
const BEGIN_MS: i64 = 1_767_225_600_000;
const STATES: [&str; 4] = ["started", "configured", "created", "uninitialized"];
const WORKFLOWS: [&str; 4] = ["install", "uninstall", "heal", "scale"];

/// What one request asks for.
struct Ask {
    path: String,
    rules: Option<Value>,
}

impl Ask {
    fn get(path: impl fmt::Display) -> Self {
        Self {
            path: format!("{path}&_size=100"),
            rules: None,
        }
    }

    fn search(path: &str, rules: Value) -> Self {
        Self {
            path: format!("{path}&_size=100"),
            rules: Some(json!({ "filter_rules": rules })),
        }
    }
}

fn rule(key: &str, operator: &str, values: &[String]) -> Value {
    json!({"key": key, "operator": operator, "values": values, "type": "label"})
}

/// Two rules that some hundreds of 100,000 deployments meet.
fn few(nth: u64) -> Value {
    let (env, team) = (nth % 50, nth / 50 % 40);
    json!([
        rule(
            "env",
            "any_of",
            &[format!("e{env}"), format!("e{}", (env + 10) % 50)]
        ),
        rule(
            "team",
            "any_of",
            &[format!("t{team}"), format!("t{}", (team + 10) % 40)]
        ),
    ])
}

/// Two rules that nearly all deployments meet.
fn most(nth: u64) -> Value {
    let (env, team) = (nth % 50, nth / 50 % 40);
    json!([
        rule("env", "not_any_of", &[format!("e{env}")]),
        rule(
            "team",
            "not_any_of",
            &[format!("t{team}"), format!("t{}", nth / 2_000 % 40)]
        ),
    ])
}

/// One kind of question; the number makes it another one.
struct Question {
    name: &'static str,
    ask: fn(u64) -> Ask,
}

const fn question(name: &'static str, ask: fn(u64) -> Ask) -> Question {
    Question { name, ask }
}

const QUESTIONS: [Question; 17] = [
    question("deployments, newest, two rules meet few", |n| {
        Ask::search("searches/deployments?_sort=-created_at", few(n))
    }),
    question("deployments, newest, two rules meet most", |n| {
        Ask::search("searches/deployments?_sort=-created_at", most(n))
    }),
    question("deployments, by name, two rules meet few", |n| {
        Ask::search("searches/deployments?_sort=display_name", few(n))
    }),
    question("deployments, by name, two rules meet most", |n| {
        Ask::search("searches/deployments?_sort=display_name", most(n))
    }),
    question("deployments, by blueprint, two rules meet most", |n| {
        Ask::search("searches/deployments?_sort=-blueprint_id", most(n))
    }),
    question("deployments, any page", |n| {
        Ask::get(format!(
            "deployments?_sort=-created_at&_offset={}",
            n % 900 * 100
        ))
    }),
    question("deployments of a blueprint, by name", |n| {
        Ask::get(format!(
            "deployments?blueprint_id=b{}&_sort=display_name",
            n % 100
        ))
    }),
    question("node instances, by id, any page", |n| {
        Ask::get(format!("node-instances?_sort=id&_offset={}", n % 90 * 100))
    }),
    question("node instances of a deployment", |n| {
        Ask::get(format!(
            "node-instances?deployment_id=d{}&_sort=-id",
            n % 1_000
        ))
    }),
    question("node instances in a state, by node", |n| {
        Ask::get(format!(
            "node-instances?state={}&_sort=node_id&_offset={}",
            STATES[n as usize % 4],
            n / 4 % 2_000
        ))
    }),
    question("executions, newest, any page", |n| {
        Ask::get(format!(
            "executions?_sort=-created_at&_offset={}",
            n % 900 * 100
        ))
    }),
    question("executions of a deployment", |n| {
        Ask::get(format!(
            "executions?deployment_id=d{}&_sort=-created_at",
            n % 1_000
        ))
    }),
    question("executions of a workflow, by end", |n| {
        Ask::get(format!(
            "executions?workflow_id={}&_sort=-ended_at&_offset={}",
            WORKFLOWS[n as usize % 4],
            n / 4 % 2_000
        ))
    }),
    question("events, newest, any page", |n| {
        Ask::get(format!("events?_sort=-timestamp&_offset={}", n % 900 * 100))
    }),
    question("events of a deployment", |n| {
        Ask::get(format!(
            "events?deployment_id=d{}&_sort=timestamp",
            n % 1_000
        ))
    }),
    question("events of an execution, logs only", |n| {
        Ask::get(format!(
            "events?execution_id={}&type=cloudify_log&_sort=-timestamp",
            execution_id(n as usize % 1_000)
        ))
    }),
    question("events with a word, newest", |n| {
        Ask::get(format!(
            "events?message=%number {}%&_sort=-timestamp",
            n % 1_000
        ))
    }),
];

fn execution_id(nth: usize) -> String {
    format!("01890000-0000-7000-8000-{nth:012}")
}

fn append(events: Vec<NewEvent>, telemetry: Vec<TelemetryRecord>) -> Append {
    Append {
        meta: Meta {
            tenant: TENANT.to_owned(),
            ..Meta::system()
        },
        events,
        telemetry,
        ..Append::default()
    }
}

fn label(key: &str, value: String) -> Label {
    Label {
        key: key.to_owned(),
        value,
        created_at_ms: BEGIN_MS,
        created_by: "admin".to_owned(),
    }
}

fn deployment(nth: usize) -> NewEvent {
    let id = format!("d{nth}");
    let created = DeploymentCreated {
        id: id.clone(),
        scope: Some(support::scope(TENANT)),
        blueprint_id: format!("b{}", nth % 100),
        // another order than that of creation
        display_name: format!("service {}", nth * 7_919 % 100_003),
        created_at_ms: BEGIN_MS + nth as i64,
        labels: vec![
            label("env", format!("e{}", nth % 50)),
            label("team", format!("t{}", nth / 7 % 40)),
        ],
        deployment_status: "good".to_owned(),
        ..DeploymentCreated::default()
    };
    let stream = StreamId::scoped(Category::Deployment, TENANT, &id);
    NewEvent::new(stream, Event::DeploymentCreated(created))
}

/// 100 instances of one deployment.
fn instances(nth: usize) -> NewEvent {
    let deployment_id = format!("d{nth}");
    let instance = |i: usize| NodeInstance {
        id: format!("app_{:06}", (nth * 100 + i) * 7_919 % 1_000_003),
        node_id: format!("app{}", i % 10),
        state: STATES[i % 4].to_owned(),
        version: 1,
        relationships_json: "[]".to_owned(),
        runtime_properties_json: r#"{"ip": "10.0.0.1", "ports": [80, 443]}"#.to_owned(),
        system_properties_json: "{}".to_owned(),
        scaling_groups_json: "[]".to_owned(),
        ..NodeInstance::default()
    };
    let created = NodeInstancesCreated {
        deployment_id: deployment_id.clone(),
        scope: Some(support::scope(TENANT)),
        instances: (0..100).map(instance).collect(),
    };
    let stream = StreamId::scoped(Category::Deployment, TENANT, &deployment_id);
    NewEvent::new(stream, Event::NodeInstancesCreated(created))
}

fn execution(nth: usize) -> NewEvent {
    let id = execution_id(nth);
    let at_ms = BEGIN_MS + nth as i64 * 1_000;
    let created = ExecutionCreated {
        id: id.clone(),
        scope: Some(support::scope(TENANT)),
        workflow_id: WORKFLOWS[nth % 4].to_owned(),
        status: "terminated".to_owned(),
        parameters_json: "{}".to_owned(),
        created_at_ms: at_ms,
        started_at_ms: Some(at_ms + 10),
        ended_at_ms: Some(at_ms + 10_000 + (nth * 7_919 % 100_003) as i64),
        deployment_id: Some(format!("d{}", nth % 1_000)),
        blueprint_id: Some(format!("b{}", nth % 100)),
        ..ExecutionCreated::default()
    };
    let stream = StreamId::scoped(Category::Execution, TENANT, &id);
    NewEvent::new(stream, Event::ExecutionCreated(created))
}

/// A line of a log or an event, in turn; executions tell theirs 100 at a time.
fn told(nth: usize) -> TelemetryRecord {
    let execution = nth / 100 % 1_000;
    let timestamp_us = BEGIN_MS * 1_000 + nth as i64 * 1_000;
    let is_log = nth.is_multiple_of(2);
    let text = |text: &str| text.to_owned();
    TelemetryRecord {
        event_id: Uuid::now_v7().as_bytes().to_vec(),
        tenant: text(TENANT),
        visibility: text("tenant"),
        created_by: text("admin"),
        is_log,
        timestamp_us,
        reported_timestamp_us: timestamp_us,
        execution_id: execution_id(execution),
        deployment_id: format!("d{execution}"),
        workflow_id: text(WORKFLOWS[execution % 4]),
        message: format!("line number {nth} of the installation of a service"),
        logger: if is_log {
            text("ctx.node")
        } else {
            String::new()
        },
        level: if is_log { text("info") } else { String::new() },
        event_type: if is_log {
            String::new()
        } else {
            text("task_started")
        },
        node_instance_id: Some(format!("app_{:06}", nth % 997)),
        ..TelemetryRecord::default()
    }
}

async fn fill(running: &Running, rows: usize) {
    let begin = Instant::now();
    let store = &running.ctx.store;
    let numbers: Vec<usize> = (0..rows).collect();
    for chunk in numbers.chunks(CHUNK) {
        let deployments = chunk.iter().map(|nth| deployment(*nth)).collect();
        store.append(append(deployments, Vec::new())).await.unwrap();
    }
    for nth in 0..rows / 100 {
        let instances = vec![instances(nth)];
        store.append(append(instances, Vec::new())).await.unwrap();
    }
    for chunk in numbers.chunks(CHUNK) {
        let executions = chunk.iter().map(|nth| execution(*nth)).collect();
        store.append(append(executions, Vec::new())).await.unwrap();
    }
    for chunk in 0..rows * 12 / CHUNK {
        let told = (chunk * CHUNK..(chunk + 1) * CHUNK).map(told).collect();
        store.append(append(Vec::new(), told)).await.unwrap();
    }
    // as the autovacuum does after a minute
    let client = running.ctx.store.database().dedicated().await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    println!(
        "filled: {rows} deployments, node instances, executions each, {} events in {:.1} s",
        rows * 12,
        begin.elapsed().as_secs_f64()
    );
}

/// One client: asks until the time is up.
async fn client(
    (url, question): (String, fn(u64) -> Ask),
    next: Arc<AtomicU64>,
    step: u64,
    until: Instant,
) -> Times {
    let client = reqwest::Client::new();
    let mut times = Times::default();
    while Instant::now() < until {
        let ask = question(next.fetch_add(step, Ordering::Relaxed));
        let url = format!("{url}/{}", ask.path);
        let request = match &ask.rules {
            Some(rules) => client.post(url).json(rules),
            None => client.get(url),
        };
        let request = request
            .basic_auth("admin", Some(support::PASSWORD))
            .header("Tenant", TENANT);
        let begin = Instant::now();
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        assert!(status.is_success(), "{}: {status} {body:?}", ask.path);
        times.add(begin.elapsed());
    }
    times
}

async fn measure(running: &Running, question: &Question, is_anew: bool, length: Duration) {
    let url = format!("http://{}/api/v3.1", running.addr);
    let begin = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let asking = client(
                (url.clone(), question.ask),
                next.clone(),
                u64::from(is_anew),
                begin + length,
            );
            #[allow(clippy::disallowed_methods, reason = "benchmarks own no task tracker")]
            tokio::spawn(asking)
        })
        .collect();
    let mut all = Times::default();
    for client in clients {
        all.join(client.await.unwrap());
    }
    let how = if is_anew { "anew" } else { "again" };
    all.print(&format!("{}, {how}", question.name), begin);
}

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings {
        run_executions: false,
        ..support::settings(data.path()).await
    };
    let running = server::start(settings).await.unwrap();
    let (rows, length) = match support::is_measured() {
        true => (100_000, Duration::from_secs(5)),
        false => (1_000, Duration::from_millis(100)),
    };
    fill(&running, rows).await;
    let is_wanted = |question: &&Question| support::is_wanted(question.name);
    for question in QUESTIONS.iter().filter(is_wanted) {
        measure(&running, question, true, length).await;
        measure(&running, question, false, length).await;
    }
    running.stop().await;
}
