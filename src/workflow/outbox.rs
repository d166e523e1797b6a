//! Operations on their way to the broker. What is in here is in the log already; it is sent until
//! the broker has it, and again when nobody answers after a restart: receivers recognise what they
//! were sent before.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    graph::task::{State, Task},
    operation::Facts,
};
use crate::{
    broker::{
        Broker, Message,
        topology::{MANAGEMENT_EXCHANGE, OPERATION_ROUTING_KEY, RESPONSE_QUEUE},
        wire::CONTEXT_KEY,
    },
    clock,
    context::Context,
};

/// Pause between attempts while the broker cannot be reached.
pub(super) const RETRY: Duration = Duration::from_secs(1);
const RETRY_MS: i64 = 1_000;
/// How long an answer may still come by itself after a restart.
const GRACE_MS: i64 = 3_000;
/// Messages sent at the same time.
const PARALLEL: usize = 64;

#[derive(Debug)]
struct Outgoing {
    task: Arc<Task>,
    due_ms: i64,
    /// The log shows it as not sent yet.
    is_late: bool,
}

/// What messages carry beside their operation.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    token: String,
    rest_host: Vec<String>,
    /// A former runner has sent the operation.
    pub(super) is_sent: bool,
}

impl Stamp {
    pub(super) fn new(facts: &Facts, token: String) -> Self {
        Self {
            token,
            rest_host: facts.rest_host.clone(),
            is_sent: false,
        }
    }

    pub(super) fn sent(self, is_sent: bool) -> Self {
        Self { is_sent, ..self }
    }

    /// The message that asks for an operation; `rest_host`, if any, is how its receiver reaches the
    /// manager.
    pub(super) fn message(
        &self,
        task: &Task,
        exchange: &str,
        rest_host: &[String],
    ) -> Result<Message, String> {
        let body = self.body(task, exchange, rest_host);
        let message = Message::json(exchange, OPERATION_ROUTING_KEY, &body)
            .map_err(|error| error.to_string())?;
        Ok(message
            .reply_to(RESPONSE_QUEUE)
            .correlation_id(&task.id)
            .message_id(&Uuid::now_v7().to_string())
            .mandatory())
    }

    /// The stored arguments and context, completed with what is never stored.
    fn body(&self, task: &Task, exchange: &str, rest_host: &[String]) -> Value {
        let mut kwargs = task.kwargs().cloned().unwrap_or_default();
        let context = kwargs
            .entry(CONTEXT_KEY)
            .or_insert_with(|| Value::Object(Map::new()));
        let hosts = match rest_host {
            [] => self.rest_host.as_slice(),
            given => given,
        };
        if let Value::Object(context) = context {
            context.insert("rest_token".to_owned(), json!(self.token));
            context.insert("execution_token".to_owned(), json!(self.token));
            context.insert("rest_host".to_owned(), json!(hosts));
            context.insert("task_queue".to_owned(), json!(exchange));
            context.insert("task_target".to_owned(), json!(exchange));
        }
        json!({"id": task.id, "cloudify_task": {"kwargs": kwargs}})
    }
}

/// Unsent operations of an execution, for the managers' workers.
#[derive(Debug)]
pub(super) struct Outbox {
    broker: Option<Broker>,
    stamp: Stamp,
    unsent: BTreeMap<String, Outgoing>,
}

impl Outbox {
    pub(super) fn new(ctx: &Context, stamp: Stamp) -> Self {
        Self {
            broker: ctx.broker.clone(),
            stamp,
            unsent: BTreeMap::new(),
        }
    }

    /// Whether what is put in will be sent at once.
    pub(super) fn is_open(&self) -> bool {
        let broker = self.broker.as_ref();
        broker.is_some_and(|broker| broker.state().borrow().is_up())
    }

    pub(super) fn put(&mut self, task: Arc<Task>) {
        let outgoing = Outgoing {
            due_ms: 0,
            is_late: !self.is_open(),
            task,
        };
        self.unsent.insert(outgoing.task.id.clone(), outgoing);
    }

    /// An operation that a former runner was to send, or has sent.
    pub(super) fn again(&mut self, task: Arc<Task>, now_ms: i64) {
        let is_late = task.state == State::Sending;
        let outgoing = Outgoing {
            due_ms: if is_late { 0 } else { now_ms + GRACE_MS },
            is_late,
            task,
        };
        self.unsent.insert(outgoing.task.id.clone(), outgoing);
    }

    /// For messages that go another way.
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp.clone()
    }

    /// It was answered.
    pub(super) fn done(&mut self, id: &str) {
        self.unsent.remove(id);
    }

    /// When the next one is to be sent.
    pub(super) fn due_ms(&self) -> Option<i64> {
        self.unsent.values().map(|outgoing| outgoing.due_ms).min()
    }

    /// Sends what is due; gives those that the log shows as not sent yet.
    pub(super) async fn flush(&mut self) -> Vec<String> {
        let now_ms = clock::now_ms();
        let mut due = Vec::new();
        for outgoing in self.unsent.values().filter(|o| o.due_ms <= now_ms) {
            let message = self.stamp.message(&outgoing.task, MANAGEMENT_EXCHANGE, &[]);
            due.push((outgoing.task.id.clone(), message));
        }
        if due.is_empty() {
            return Vec::new();
        }
        let broker = self.broker.clone();
        let sending = stream::iter(due).map(move |(id, message)| {
            let broker = broker.clone();
            async move { (id, publish(broker, message).await) }
        });
        let outcomes: Vec<(String, Result<(), String>)> =
            sending.buffer_unordered(PARALLEL).collect().await;
        let mut late = Vec::new();
        for (id, outcome) in outcomes {
            match outcome {
                Ok(()) => {
                    let sent = self.unsent.remove(&id);
                    late.extend(sent.filter(|sent| sent.is_late).map(|_| id));
                }
                Err(error) => {
                    tracing::debug!(operation = id, error, "an operation waits for the broker");
                    if let Some(outgoing) = self.unsent.get_mut(&id) {
                        outgoing.due_ms = now_ms + RETRY_MS;
                    }
                }
            }
        }
        late
    }
}

async fn publish(broker: Option<Broker>, message: Result<Message, String>) -> Result<(), String> {
    let broker = broker.ok_or_else(|| "no broker is configured".to_owned())?;
    let sent = broker.publish(&message?).await;
    sent.map_err(|error| error.to_string())
}
