//! All metrics that a process can tell: its own, and the latest of workers and agents.
use metrics::{Label, describe_gauge, gauge};

use super::{Context, Source};
use crate::{broker::wire::Metrics, telemetry};

/// One number of a report: the end of its name, what it is, and where it stands.
type Shown = (&'static str, &'static str, fn(&Metrics) -> Option<f64>);

const SHOWN: [Shown; 12] = [
    ("operations_running", "Operations that run", |told| {
        Some(number(told.operations.running))
    }),
    (
        "operations_waiting",
        "Operations that wait for a place",
        |told| Some(number(told.operations.waiting)),
    ),
    (
        "operations_following",
        "Operations that wait for other executions",
        |told| Some(number(told.operations.following)),
    ),
    (
        "operations_limit",
        "Operations that may run at once",
        |told| Some(number(told.operations.limit)),
    ),
    (
        "operations_queued",
        "Operations in the queue that nobody has taken",
        |told| told.operations.queued.map(number),
    ),
    (
        "uptime_seconds",
        "For how long the process has run",
        |told| Some(told.uptime_s),
    ),
    ("resident_bytes", "Memory of the process", |told| {
        told.resident_bytes.map(number)
    }),
    ("host_load1", "Load of the host over a minute", |told| {
        told.load.as_ref().map(|load| load.one)
    }),
    ("host_load5", "Load of the host over 5 minutes", |told| {
        told.load.as_ref().map(|load| load.five)
    }),
    ("host_load15", "Load of the host over 15 minutes", |told| {
        told.load.as_ref().map(|load| load.fifteen)
    }),
    (
        "host_memory_used_bytes",
        "Memory of the host in use",
        |told| told.memory.as_ref().map(|memory| number(memory.used_bytes)),
    ),
    (
        "host_memory_available_bytes",
        "Memory of the host that can be had",
        |told| {
            let memory = told.memory.as_ref();
            memory.map(|memory| number(memory.available_bytes))
        },
    ),
];

/// Beyond 2^53, what is told is near enough.
fn number(value: u64) -> f64 {
    value as f64
}

impl Context {
    /// All of them, in Prometheus' format.
    pub fn metrics_text(&self) -> String {
        let position = *self.store.log().durable().borrow();
        let reports = self.reports.current();
        let others = telemetry::rendered(|| {
            describe_gauge!(
                "stratalog_log_position",
                "Newest durable position of the log"
            );
            gauge!("stratalog_log_position").set(position as f64);
            for (source, report) in &reports {
                show(source, &report.told);
            }
        });
        self.metrics.render() + &others
    }
}

fn show(source: &Source, told: &Metrics) {
    let (kind, mut labels) = match source {
        Source::Worker(name) => ("worker", vec![Label::new("worker", name.clone())]),
        Source::Agent { tenant, name } => {
            let tenant = Label::new("tenant", tenant.clone());
            ("agent", vec![tenant, Label::new("agent", name.clone())])
        }
    };
    labels.push(Label::new("host", told.host.clone()));
    for (end, help, value) in SHOWN {
        if let Some(value) = value(told) {
            let name = format!("stratalog_{kind}_{end}");
            describe_gauge!(name.clone(), help);
            gauge!(name, labels.clone()).set(value);
        }
    }
}
