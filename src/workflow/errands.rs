//! Operations on their way to agents, and with them. What is sent is in the log already; what
//! becomes of the sending comes back to the runner as a signal.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    agents::{self, Agent, Agents},
    graph::task::Task,
    outbox::Stamp,
    runner::Signal,
};
use crate::{
    broker::{
        Message, Peer,
        topology::{RESPONSE_QUEUE, SERVICE_ROUTING_KEY},
        wire::{Response, ServiceTask, TaskError},
    },
    context::Context,
    tasks,
};

/// How long an agent that has an operation may take to answer when it is asked whether it lives.
const PING: Duration = Duration::from_secs(15);
/// No agent is given up sooner: within this time it has been asked, and had the time to answer.
const SILENCE_MIN: Duration = Duration::from_secs(40);
/// Pause after trouble with the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Agents by the operation they have; none while it is on its way.
type Table = BTreeMap<String, Option<Agent>>;

/// The errands of one runner. What is still on its way when this is dropped is not sent any more.
#[derive(Debug)]
pub(super) struct Errands {
    ctx: Arc<Context>,
    tenant: String,
    agents: Agents,
    runner: mpsc::Sender<Signal>,
    with: Arc<Mutex<Table>>,
    over: CancellationToken,
    _guard: DropGuard,
}

impl Errands {
    pub(super) fn new(
        ctx: &Arc<Context>,
        tenant: &str,
        agents: &Agents,
        runner: &mpsc::Sender<Signal>,
    ) -> Self {
        let over = CancellationToken::new();
        Self {
            ctx: ctx.clone(),
            tenant: tenant.to_owned(),
            agents: agents.clone(),
            runner: runner.clone(),
            with: Arc::default(),
            _guard: over.clone().drop_guard(),
            over,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.with)
    }

    /// Brings an operation to the agent of its host. One that a former runner has sent already
    /// waits in the agent's queue, or is with it: it is not sent again.
    pub(super) fn run(&self, task: Arc<Task>, stamp: Stamp) {
        // a runner that begins anew finds what it has under way already
        if self.table().contains_key(&task.id) {
            return;
        }
        let (ctx, tenant) = (self.ctx.clone(), self.tenant.clone());
        let (runner, with) = (self.runner.clone(), self.with.clone());
        let Some(peer) = self.agents.of(&tenant) else {
            return self.refuse(&task, "no message broker is configured");
        };
        self.table().insert(task.id.clone(), None);
        let over = self.over.clone();
        tasks::detached("operation for an agent", async move {
            let errand = Errand {
                ctx: &ctx,
                tenant: &tenant,
                peer: &peer,
                with: &with,
            };
            let done = over.run_until_cancelled(errand.run(&task, &stamp)).await;
            if !matches!(done, Some(Ok(()))) {
                lock(&with).remove(&task.id);
            }
            let signal = match done {
                None => return,
                Some(Ok(())) => Signal::Sent(task.id.clone()),
                Some(Err(error)) => failed(&task.id, error),
            };
            // a runner that has ended leaves everything to the next one
            drop(runner.send(signal).await);
        });
    }

    fn refuse(&self, task: &Task, why: &str) {
        let signal = failed(&task.id, TaskError::recoverable(why));
        let runner = self.runner.clone();
        tasks::detached("operation for nobody", async move {
            drop(runner.send(signal).await);
        });
    }

    /// The operations that agents have.
    fn out(&self) -> Vec<(String, Agent)> {
        let with = self.table();
        let out = with
            .iter()
            .filter_map(|(id, agent)| Some((id.clone(), agent.clone()?)));
        out.collect()
    }

    /// It was answered.
    pub(super) fn done(&self, id: &str) {
        self.table().remove(id);
    }

    /// Asks all agents with operations whether they live. Gives what is to be given up: the
    /// operations of those that have been silent for too long.
    pub(super) fn watch(&self) -> Vec<(String, TaskError)> {
        let with = self.out();
        let Some(peer) = self.agents.of(&self.tenant).filter(|_| !with.is_empty()) else {
            return Vec::new();
        };
        let limit = Duration::from_secs(self.ctx.settings.agent_lost_after_s).max(SILENCE_MIN);
        for queue in queues(&with) {
            let (peer, over) = (peer.clone(), self.over.clone());
            tasks::detached("sign of life", async move {
                let asked = over.run_until_cancelled(peer.ping(&queue, PING)).await;
                if let Some(Err(error)) = asked {
                    tracing::debug!(queue, %error, "an agent is silent");
                }
            });
        }
        // while the broker is away, nobody is to blame for being silent
        if !peer.broker().state().borrow().is_up() {
            return Vec::new();
        }
        let silent = |agent: &Agent| Some(peer.silence_of(&agent.queue)).filter(|s| *s >= limit);
        with.iter()
            .filter_map(|(id, agent)| {
                let silence = silent(agent)?;
                Some((id.clone(), agents::lost(&agent.name, silence)))
            })
            .collect()
    }

    /// Agents that have operations are told to kill those of an execution.
    pub(super) async fn kill(&self, execution: &str) {
        let with = self.out();
        let Some(peer) = self.agents.of(&self.tenant).filter(|_| !with.is_empty()) else {
            return;
        };
        for queue in queues(&with) {
            if let Err(error) = tell(&peer, &queue, execution).await {
                tracing::warn!(
                    execution,
                    queue,
                    error,
                    "an agent is not told to end operations"
                );
            }
        }
    }
}

fn queues(with: &[(String, Agent)]) -> BTreeSet<String> {
    with.iter().map(|(_, agent)| agent.queue.clone()).collect()
}

async fn tell(peer: &Peer, queue: &str, execution: &str) -> Result<(), String> {
    let body = ServiceTask::cancel_operation(execution).to_body();
    let message = Message::json(queue, SERVICE_ROUTING_KEY, &body);
    let message = message.map_err(|error| error.to_string())?;
    let bound = peer.bind(RESPONSE_QUEUE, queue).await;
    bound.map_err(|error| error.to_string())?;
    let sent = peer.broker().publish(&message).await;
    sent.map_err(|error| error.to_string())
}

fn failed(id: &str, error: TaskError) -> Signal {
    Signal::Answer {
        id: id.to_owned(),
        response: Response::Error(error),
        ack: None,
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // a table is as good after a panic elsewhere as before
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Errand<'a> {
    ctx: &'a Context,
    tenant: &'a str,
    peer: &'a Peer,
    with: &'a Mutex<Table>,
}

impl Errand<'_> {
    async fn run(&self, task: &Task, stamp: &Stamp) -> Result<(), TaskError> {
        let none = serde_json::Map::new();
        let context = task.context().unwrap_or(&none);
        let agent = loop {
            match agents::find(self.ctx, self.tenant, context).await {
                Ok(found) => break found?,
                Err(error) => {
                    tracing::debug!(operation = task.id, %error, "an operation waits");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        if !stamp.is_sent {
            let message = stamp.message(task, &agent.queue, &agent.rest_host);
            let message = message.map_err(TaskError::non_recoverable)?;
            agents::send(self.peer, &agent, &message).await?;
        }
        // unless it was answered meanwhile
        if let Some(with) = lock(self.with).get_mut(&task.id) {
            *with = Some(agent);
        }
        Ok(())
    }
}
