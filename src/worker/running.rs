//! The operations that run right now, by the id of their task, so that a message that comes a
//! second time joins the run it started instead of starting another.
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio_util::sync::CancellationToken;

use crate::broker::{Ack, Delivery};

/// How to answer a message and be rid of it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) exchange: String,
    pub(super) reply_to: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) ack: Ack,
}

impl Reply {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            exchange: delivery.exchange,
            reply_to: delivery.reply_to,
            correlation_id: delivery.correlation_id,
            ack: delivery.ack,
        }
    }
}

#[derive(Debug)]
struct Run {
    execution_id: Option<String>,
    kill: CancellationToken,
    reply: Reply,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    runs: Arc<Mutex<HashMap<String, Run>>>,
}

impl Running {
    /// Registers a new run and returns the token that kills it; `None` when the task runs already,
    /// which then answers the message that came last.
    pub(super) fn begin(
        &self,
        task_id: &str,
        execution_id: Option<&str>,
        reply: Reply,
        parent: &CancellationToken,
    ) -> Option<CancellationToken> {
        match self.lock().entry(task_id.to_owned()) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().reply = reply;
                None
            }
            Entry::Vacant(entry) => {
                let kill = parent.child_token();
                let execution_id = execution_id.map(str::to_owned);
                entry.insert(Run {
                    execution_id,
                    kill: kill.clone(),
                    reply,
                });
                Some(kill)
            }
        }
    }

    /// Where to answer now.
    pub(super) fn destination(&self, task_id: &str) -> Option<Destination> {
        self.lock().get(task_id).map(|run| Destination {
            exchange: run.reply.exchange.clone(),
            reply_to: run.reply.reply_to.clone(),
            correlation_id: run.reply.correlation_id.clone(),
        })
    }

    pub(super) fn end(&self, task_id: &str) -> Option<Ack> {
        self.lock().remove(task_id).map(|run| run.reply.ack)
    }

    /// Kills what runs for the execution and returns how many those were.
    pub(super) fn kill(&self, execution_id: &str) -> usize {
        let runs = self.lock();
        let hit = runs
            .values()
            .filter(|run| run.execution_id.as_deref() == Some(execution_id));
        hit.map(|run| run.kill.cancel()).count()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Run>> {
        self.runs
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) exchange: String,
    pub(super) reply_to: Option<String>,
    pub(super) correlation_id: Option<String>,
}
