//! The operations that run right now, by the id of their task, so that a message that comes a
//! second time joins the run it started instead of starting another.
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio_util::sync::CancellationToken;

use super::workflow::is_one;
use crate::broker::{Ack, Delivery, wire::OperationTask};

/// How to answer a message and be rid of it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) exchange: String,
    pub(super) reply_to: Option<String>,
    pub(super) correlation_id: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) ack: Ack,
}

impl Reply {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self {
            exchange: delivery.exchange,
            reply_to: delivery.reply_to,
            correlation_id: delivery.correlation_id,
            message_id: delivery.message_id,
            ack: delivery.ack,
        }
    }
}

#[derive(Debug)]
struct Run {
    task: Arc<OperationTask>,
    kill: CancellationToken,
    reply: Reply,
    /// The same operation of an execution that was resumed meanwhile: sent with another token.
    next: Option<Arc<OperationTask>>,
}

impl Run {
    fn new(task: Arc<OperationTask>, kill: CancellationToken, reply: Reply) -> Self {
        Self {
            task,
            kill,
            reply,
            next: None,
        }
    }

    /// Answers another message from now on; gives the right to be rid of the one before. A second
    /// message that asks for the same is the one to be rid of: were this process to end, the
    /// operation would wait for the message that it was claimed for.
    fn join(&mut self, task: Arc<OperationTask>, reply: Reply) -> Ack {
        if task.context.token() != self.task.context.token() {
            self.next = Some(task);
        } else if reply.message_id != self.reply.message_id {
            return reply.ack;
        }
        std::mem::replace(&mut self.reply, reply).ack
    }
}

/// What follows a run.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing; the message can go.
    Over(Option<Ack>),
    /// Another one: nobody waited for this one any more, but somebody does for the next.
    Again(Arc<OperationTask>, CancellationToken),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    runs: Arc<Mutex<HashMap<String, Run>>>,
}

impl Running {
    /// Registers a new run and returns the token that kills it. When the task runs already, that
    /// run answers one message, and the other can go.
    pub(super) fn begin(
        &self,
        task_id: &str,
        task: &Arc<OperationTask>,
        reply: Reply,
        parent: &CancellationToken,
    ) -> Result<CancellationToken, Ack> {
        match self.lock().entry(task_id.to_owned()) {
            Entry::Occupied(mut entry) => Err(entry.get_mut().join(task.clone(), reply)),
            Entry::Vacant(entry) => {
                let kill = parent.child_token();
                entry.insert(Run::new(task.clone(), kill.clone(), reply));
                Ok(kill)
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

    /// The message that is answered now, if it has an id.
    pub(super) fn message_id(&self, task_id: &str) -> Option<String> {
        self.lock().get(task_id)?.reply.message_id.clone()
    }

    /// The run has ended. One that was in vain (`is_silent`) must not take the message of a
    /// resumed execution with it.
    pub(super) fn end(&self, task_id: &str, is_silent: bool, parent: &CancellationToken) -> Ended {
        let mut runs = self.lock();
        let Some(mut run) = runs.remove(task_id) else {
            return Ended::Over(None);
        };
        match run.next.take() {
            Some(next) if is_silent && !parent.is_cancelled() => {
                let kill = parent.child_token();
                let again = Run::new(next.clone(), kill.clone(), run.reply);
                runs.insert(task_id.to_owned(), again);
                Ended::Again(next, kill)
            }
            _ => Ended::Over(Some(run.reply.ack)),
        }
    }

    /// Kills what runs for the execution and returns how many those were.
    pub(super) fn kill(&self, execution_id: &str) -> usize {
        let runs = self.lock();
        let hit = runs
            .values()
            .filter(|run| run.task.context.execution_id.as_deref() == Some(execution_id));
        hit.map(|run| run.kill.cancel()).count()
    }

    /// How many of them are workflows.
    pub(super) fn workflows(&self) -> usize {
        let runs = self.lock();
        let workflows = runs.values().filter(|run| is_one(&run.task.context));
        workflows.count()
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
