//! Logs and events of a running operation, sent to the manager in batches.
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use super::{Options, rest::Session};
use crate::{broker::wire::OperationContext, clock};

/// Lines waiting to be sent; a script that writes faster than the manager reads waits for its pipe.
const QUEUE_MAX: usize = 4_096;
const BATCH_MAX: usize = 500;
/// Room for the lines that most operations have.
const BATCH_FIRST: usize = 16;
/// How long a line may wait for company.
const BATCH_WAIT: Duration = Duration::from_millis(200);

#[derive(Debug)]
enum Record {
    Log {
        level: &'static str,
        text: String,
        time: DateTime<Utc>,
    },
    Event {
        text: String,
        time: DateTime<Utc>,
    },
}

/// Writes for one operation; clones write to the same batches.
#[derive(Clone, Debug)]
pub(super) struct Logger {
    sender: mpsc::Sender<Record>,
}

impl Logger {
    pub(super) async fn info(&self, text: impl Into<String>) {
        self.log("info", text).await;
    }

    pub(super) async fn debug(&self, text: impl Into<String>) {
        self.log("debug", text).await;
    }

    pub(super) async fn log(&self, level: &'static str, text: impl Into<String>) {
        self.send(Record::Log {
            level,
            text: text.into(),
            time: clock::now(),
        })
        .await;
    }

    pub(super) async fn event(&self, text: impl Into<String>) {
        self.send(Record::Event {
            text: text.into(),
            time: clock::now(),
        })
        .await;
    }

    async fn send(&self, record: Record) {
        if self.sender.send(record).await.is_err() {
            warn!("a line was written after the operation's log was closed");
        }
    }
}

/// The sender of one operation's log.
#[derive(Debug)]
pub(super) struct OperationLog {
    logger: Logger,
    session: Session,
    sending: JoinHandle<Option<Value>>,
}

impl OperationLog {
    pub(super) fn open(
        tasks: &TaskTracker,
        session: Session,
        worker: &Options,
        context: &OperationContext,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let origin = Origin::new(worker, context);
        Self {
            logger: Logger { sender },
            session: session.clone(),
            sending: tasks.spawn(send_all(receiver, session, origin)),
        }
    }

    pub(super) fn logger(&self) -> Logger {
        self.logger.clone()
    }

    /// Waits until everything is at the manager but what was said last: that is given, to be sent
    /// with something else. Every [`Logger`] must have been dropped.
    pub(super) async fn ended(self) -> Option<Value> {
        drop(self.logger);
        match self.sending.await {
            Ok(last) => last,
            Err(error) => {
                warn!(%error, "the operation's log was not sent completely");
                None
            }
        }
    }

    /// Waits until everything is at the manager. Every [`Logger`] must have been dropped.
    pub(super) async fn close(self) {
        let session = self.session.clone();
        if let Some(last) = self.ended().await {
            send(&session, &last).await;
        }
    }
}

/// Sends a part of an operation's log.
pub(super) async fn send(session: &Session, said: &Value) {
    if let Err(error) = session.post(&["events"], said).await {
        let count = |of: &str| said.get(of).and_then(Value::as_array).map_or(0, Vec::len);
        let lines = count("logs") + count("events");
        warn!(%error, lines, "lines of an operation's log are lost");
    }
}

/// Where the lines come from, as every record says.
#[derive(Debug)]
struct Origin {
    /// The field that says who sends this, the other one, and the name.
    reporter: (&'static str, &'static str),
    name: String,
    execution_id: Option<String>,
    logger: String,
    context: Arc<Map<String, Value>>,
}

impl Origin {
    fn new(worker: &Options, context: &OperationContext) -> Self {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("blueprint_id", json!(context.blueprint_id));
        put("deployment_id", json!(context.deployment_id));
        put("execution_id", json!(context.execution_id));
        put("workflow_id", json!(context.workflow_id));
        put("task_id", json!(context.task_id));
        put("task_name", json!(context.task_name));
        put("task_queue", json!(context.task_queue));
        put("task_target", json!(context.task_target));
        put("operation", json!(context.operation.name));
        put("plugin", json!(context.plugin.name));
        put("tenant", json!({"name": context.tenant.name}));
        match &context.related {
            None => {
                put("node_id", json!(context.node_id));
                put("node_name", json!(context.node_name));
            }
            Some(related) => {
                let own = (json!(context.node_id), json!(context.node_name));
                let other = (json!(related.node_id), json!(related.node_name));
                let (source, target) = if related.is_target {
                    (own, other)
                } else {
                    (other, own)
                };
                put("source_id", source.0);
                put("source_name", source.1);
                put("target_id", target.0);
                put("target_name", target.1);
            }
        }
        Self {
            reporter: worker.reporter(),
            name: worker.name.clone(),
            execution_id: context.execution_id.clone(),
            logger: format!(
                "ctx.{}",
                context.task_id.as_deref().unwrap_or("cloudify_plugin")
            ),
            context: Arc::new(fields),
        }
    }

    /// Every record has an id of its own: a batch that is sent again is recognised.
    fn batch(&self, records: &[Record]) -> Value {
        let (mut logs, mut events) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Log { level, text, time } => logs.push(json!({
                    "context": *self.context, "logger": self.logger, "level": level,
                    "message": {"text": text}, "timestamp": stamp(time), "message_code": null,
                    "type": "cloudify_log", "event_id": Uuid::now_v7(),
                })),
                Record::Event { text, time } => events.push(json!({
                    "context": *self.context, "event_type": "plugin_event",
                    "message": {"text": text, "arguments": null}, "timestamp": stamp(time),
                    "message_code": null, "type": "cloudify_event", "event_id": Uuid::now_v7(),
                })),
            }
        }
        let (own, other) = self.reporter;
        json!({
            "events": events, "logs": logs, own: self.name, other: null,
            "execution_id": self.execution_id,
        })
    }
}

fn stamp(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Sends until the log is closed; gives what is left then.
async fn send_all(
    mut receiver: mpsc::Receiver<Record>,
    session: Session,
    origin: Origin,
) -> Option<Value> {
    let mut batch = Vec::with_capacity(BATCH_FIRST);
    while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let deadline = tokio::time::Instant::now() + BATCH_WAIT;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            match tokio::time::timeout_at(deadline, receiver.recv_many(&mut batch, room)).await {
                Ok(0) => return Some(origin.batch(&batch)),
                Err(_) => break,
                Ok(_) => {}
            }
        }
        send(&session, &origin.batch(&batch)).await;
        batch.clear();
    }
    None
}
