//! Durable appends of single events: how many a second, and how long each waits, at growing numbers
//! of writers. All writers of a process share the batches of one writer task.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

mod support;

use std::time::{Duration, Instant};

use stratalog::{
    db::Database,
    log::{Append, Log, NewEvent},
    store,
    tasks::Tasks,
};
use stratalog_schema::{
    Category, Meta, StreamId,
    events::{NodeInstance, NodeInstanceChanged, NodeInstancesCreated, TelemetryRecord},
};
use support::Times;
use uuid::Uuid;

const TENANT: &str = "default_tenant";
const WRITERS_MAX: usize = 256;

/// What a writer appends.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// An event that changes one row of a view, in a stream of the writer's own.
    Model,
    /// A line of an execution's log.
    Telemetry,
}

fn meta() -> Meta {
    Meta {
        tenant: TENANT.to_owned(),
        ..Meta::system()
    }
}

fn instance_id(writer: usize) -> String {
    format!("app_{writer:06}")
}

/// One node instance for every writer.
fn instances() -> Append {
    let instance = |writer| NodeInstance {
        id: instance_id(writer),
        node_id: "app".to_owned(),
        state: "started".to_owned(),
        version: 1,
        relationships_json: "[]".to_owned(),
        runtime_properties_json: "{}".to_owned(),
        system_properties_json: "{}".to_owned(),
        scaling_groups_json: "[]".to_owned(),
        ..NodeInstance::default()
    };
    let created = NodeInstancesCreated {
        deployment_id: "bench".to_owned(),
        scope: Some(support::scope(TENANT)),
        instances: (0..WRITERS_MAX).map(instance).collect(),
    };
    let stream = StreamId::scoped(Category::Deployment, TENANT, "bench");
    Append {
        meta: meta(),
        events: vec![NewEvent::new(
            stream,
            stratalog_schema::Event::NodeInstancesCreated(created),
        )],
        ..Append::default()
    }
}

fn change(writer: usize, nth: i64) -> Append {
    let id = instance_id(writer);
    let changed = NodeInstanceChanged {
        id: id.clone(),
        tenant: TENANT.to_owned(),
        version: nth + 2,
        runtime_properties_json: Some(format!(
            "{{\"ip\": \"10.0.0.1\", \"counter\": {nth}, \"nested\": {{\"a\": [1, 2, 3]}}}}"
        )),
        ..NodeInstanceChanged::default()
    };
    let stream = StreamId::scoped(Category::NodeInstance, TENANT, &id);
    Append {
        meta: meta(),
        events: vec![NewEvent::new(
            stream,
            stratalog_schema::Event::NodeInstanceChanged(changed),
        )],
        ..Append::default()
    }
}

fn line(writer: usize, nth: i64) -> Append {
    let record = TelemetryRecord {
        event_id: Uuid::now_v7().as_bytes().to_vec(),
        tenant: TENANT.to_owned(),
        visibility: "tenant".to_owned(),
        created_by: "admin".to_owned(),
        is_log: true,
        timestamp_us: 1_700_000_000_000_000 + nth,
        reported_timestamp_us: 1_700_000_000_000_000 + nth,
        execution_id: "01890000-0000-7000-8000-000000000000".to_owned(),
        deployment_id: "bench".to_owned(),
        workflow_id: "install".to_owned(),
        message: format!("log line number {nth} of writer {writer}"),
        logger: "ctx.node".to_owned(),
        level: "info".to_owned(),
        node_instance_id: Some(instance_id(writer)),
        ..TelemetryRecord::default()
    };
    Append {
        meta: meta(),
        telemetry: vec![record],
        ..Append::default()
    }
}

/// One writer's appends until the time is up; `from` goes on where the last measurement ended.
async fn write(log: Log, kind: Kind, writer: usize, from: i64, until: Instant) -> Times {
    let mut times = Times::default();
    let mut nth = from;
    while Instant::now() < until {
        let append = match kind {
            Kind::Model => change(writer, nth),
            Kind::Telemetry => line(writer, nth),
        };
        let begin = Instant::now();
        log.append(append).await.unwrap();
        times.add(begin.elapsed());
        nth += 1;
    }
    times
}

async fn measure(log: &Log, kind: Kind, writers: usize, from: i64, length: Duration) {
    let begin = Instant::now();
    let until = begin + length;
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            #[allow(clippy::disallowed_methods, reason = "benchmarks own no task tracker")]
            tokio::spawn(write(log.clone(), kind, writer, from, until))
        })
        .collect();
    let mut all = Times::default();
    for written in writing {
        all.join(written.await.unwrap());
    }
    all.print(&format!("append/{kind:?}/{writers} writers"), begin);
}

#[tokio::main]
async fn main() {
    let database = Database::new(&support::database().await, 4).unwrap();
    store::prepare(&database).await.unwrap();
    let tasks = Tasks::default();
    let log = Log::start(database, Vec::new(), &tasks);
    log.append(instances()).await.unwrap();
    let length = match support::is_measured() {
        true => Duration::from_secs(4),
        false => Duration::from_millis(100),
    };
    for kind in [Kind::Telemetry, Kind::Model] {
        for (round, writers) in [1, 16, WRITERS_MAX].into_iter().enumerate() {
            let from = (round * 1_000_000) as i64;
            measure(&log, kind, writers, from, length).await;
        }
    }
    drop(log);
    tasks.drain().await;
}
