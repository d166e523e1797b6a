//! The worker's main loop and the life of a message.
use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Ending, Error, Role, WAITS_PER_SLOT, Worker,
    operation::{self, Outcome},
    outcomes,
    runner::{RESTART_AGENT, STOP_AGENT},
    running::{Ended, Reply},
    service,
};
use crate::broker::{
    Ack, ConsumerSpec, Deliveries, Delivery, Message, topology,
    wire::{OperationTask, Request, Response, TaskError},
};

/// Before sending a response again.
const RESEND_PAUSE: Duration = Duration::from_millis(500);

/// The queues of a worker.
struct Inbox {
    operations: Deliveries,
    services: Deliveries,
    /// Only managers' workers run workflows.
    workflows: Option<Deliveries>,
}

impl Inbox {
    async fn open(worker: &Worker) -> Result<Self, Error> {
        let Worker {
            options, broker, ..
        } = worker;
        let prefetch = options.max_operations;
        let consume = |queue: String| broker.consume(ConsumerSpec { queue, prefetch });
        // those that wait for others must not keep these from being taken
        let waits = u16::try_from(WAITS_PER_SLOT).unwrap_or_default();
        let prefetch_all = prefetch.saturating_mul(waits + 1);
        Ok(match &options.role {
            Role::Manager => {
                broker.declare(&topology::management(&options.name)).await?;
                Self {
                    operations: broker.consume(ConsumerSpec {
                        queue: topology::OPERATION_QUEUE.to_owned(),
                        prefetch: prefetch_all,
                    }),
                    services: consume(topology::service_queue(&options.name)),
                    workflows: Some(consume(topology::WORKFLOW_QUEUE.to_owned())),
                }
            }
            Role::Agent { queue, .. } => {
                broker.declare(&topology::agent(queue)).await?;
                Self {
                    operations: consume(format!("{queue}_operation")),
                    services: consume(format!("{queue}_service")),
                    workflows: None,
                }
            }
        })
    }
}

/// Of a consumer that need not be there.
async fn next<D: std::borrow::BorrowMut<Deliveries>>(from: &mut Option<D>) -> Option<Delivery> {
    match from {
        Some(deliveries) => deliveries.borrow_mut().recv().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn run(worker: Arc<Worker>, cancel: CancellationToken) -> Result<Ending, Error> {
    let mut inbox = Inbox::open(&worker).await?;
    let options = &worker.options;
    info!(name = %options.name, max_operations = options.max_operations, "the worker takes operations");
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = worker.leave.cancelled() => break,
            () = worker.renew.cancelled() => break,
            delivery = inbox.operations.recv() => match delivery {
                Some(delivery) => operation(&worker, delivery).await,
                None => break,
            },
            delivery = next(&mut inbox.workflows) => match delivery {
                Some(delivery) => operation(&worker, delivery).await,
                None => break,
            },
            delivery = inbox.services.recv() => match delivery {
                Some(delivery) => service::handle(&worker, delivery).await,
                None => break,
            },
        }
    }
    if let Some(workflows) = &mut inbox.workflows {
        workflows.stop();
    }
    drain(&worker, &mut inbox, &cancel).await;
    Ok(match (worker.leave.is_cancelled(), cancel.is_cancelled()) {
        (true, _) => Ending::Asked,
        (false, true) => Ending::Told,
        (false, false) if worker.renew.is_cancelled() => Ending::Renewed,
        (false, false) => Ending::Told,
    })
}

/// No new operations; those that run may end in their time, and pings are answered meanwhile. The
/// rest is killed, and its messages, being unacknowledged, are delivered again to whoever works
/// next.
async fn drain(worker: &Arc<Worker>, inbox: &mut Inbox, cancel: &CancellationToken) {
    inbox.operations.stop();
    worker.residents.close();
    worker.tasks.close();
    info!(
        running = worker.running.count(),
        "the worker waits for its operations"
    );
    let limit = async {
        // what only has to start again with other settings has all the time
        if worker.renew.is_cancelled() {
            cancel.cancelled().await;
        }
        tokio::time::sleep(Duration::from_millis(worker.options.drain_ms)).await;
    };
    let mut limit = std::pin::pin!(limit);
    let mut services = Some(&mut inbox.services);
    loop {
        tokio::select! {
            () = worker.tasks.wait() => return,
            () = &mut limit => break,
            delivery = next(&mut services) => match delivery {
                Some(delivery) => service::handle(worker, delivery).await,
                None => services = None,
            },
        }
    }
    warn!(
        running = worker.running.count(),
        "the worker ends operations that take too long"
    );
    worker.abort.cancel();
    worker.tasks.wait().await;
}

async fn operation(worker: &Arc<Worker>, delivery: Delivery) {
    match Request::parse(&delivery.body) {
        Ok(Request::Task(task)) => begin(worker, *task, delivery).await,
        Ok(Request::Service(_)) => service::handle(worker, delivery).await,
        Err(why) => refuse(worker, delivery, &why.to_string()).await,
    }
}

/// A message that cannot be understood is answered, if it says where, and gone.
async fn refuse(worker: &Worker, delivery: Delivery, why: &str) {
    error!(
        why,
        size_bytes = delivery.body.len(),
        "a message is no operation"
    );
    if let Some(reply_to) = &delivery.reply_to {
        let error = Response::Error(TaskError::non_recoverable(why));
        let id = delivery.correlation_id.as_deref();
        let sent = send(worker, &delivery.exchange, reply_to, id, &error.to_body()).await;
        if let Err(error) = sent {
            warn!(%error, "the sender does not learn that its message was refused");
        }
    }
    if let Err(error) = delivery.ack.ack().await {
        warn!(%error, "a refused message will come again");
    }
}

async fn begin(worker: &Arc<Worker>, task: OperationTask, delivery: Delivery) {
    let random = || format!("{:032x}", rand::random::<u128>());
    let id = task
        .task_id()
        .or(delivery.correlation_id.as_deref())
        .map(str::to_owned);
    let id = id.unwrap_or_else(random);
    let (task, reply) = (Arc::new(task), Reply::new(delivery));
    match worker.running.begin(&id, &task, reply, &worker.abort) {
        Ok(kill) => {
            worker.tasks.spawn(handle(worker.clone(), id, task, kill));
        }
        Err(superseded) => {
            info!(task_id = %id, "the operation runs already and will answer this message");
            if let Err(error) = superseded.ack().await {
                debug!(task_id = %id, %error, "the earlier message went with its connection");
            }
        }
    }
}

async fn handle(
    worker: Arc<Worker>,
    id: String,
    mut task: Arc<OperationTask>,
    mut kill: CancellationToken,
) {
    loop {
        let key = outcomes::key(&id, &task);
        let outcome = match worker.outcomes.find(&key).await {
            Some(response) => Outcome::Respond(response),
            None => {
                let message = worker.running.message_id(&id);
                let of = (key.as_str(), message.as_deref());
                operation::perform(&worker, task.clone(), &kill, of).await
            }
        };
        let (is_silent, is_answered) = match &outcome {
            Outcome::Silent => (true, !worker.abort.is_cancelled()),
            Outcome::Respond(response) => (false, respond(&worker, &id, response).await),
        };
        match worker.running.end(&id, is_silent, &worker.abort) {
            Ended::Again(next, token) => (task, kill) = (next, token),
            Ended::Over(Some(ack)) if is_answered => {
                done(&worker, &key, &ack).await;
                return leave(&worker, &task);
            }
            Ended::Over(_) => return,
        }
    }
}

/// An agent that was asked to end does so once its answer is out, also one that is to start again.
fn leave(worker: &Worker, task: &OperationTask) {
    match task.context.task_name.as_str() {
        STOP_AGENT if worker.options.is_agent() => worker.leave.cancel(),
        RESTART_AGENT if worker.options.is_agent() => worker.renew.cancel(),
        _ => {}
    }
}

async fn done(worker: &Worker, key: &str, ack: &Ack) {
    match ack.ack().await {
        Ok(()) => worker.outcomes.sent(key).await,
        // The response stays on disk for the message that will come again.
        Err(error) => info!(key, %error, "the operation's message will come again"),
    }
}

/// Sends until the broker confirms. False when the worker had to end before.
async fn respond(worker: &Worker, id: &str, response: &Response) -> bool {
    let body = response.to_body();
    loop {
        let Some(to) = worker.running.destination(id) else {
            return false;
        };
        let Some(reply_to) = &to.reply_to else {
            return true;
        };
        let correlation = to.correlation_id.as_deref();
        match send(worker, &to.exchange, reply_to, correlation, &body).await {
            Ok(()) => return true,
            Err(error) => warn!(task_id = id, %error, "the response is sent again"),
        }
        tokio::select! {
            () = worker.abort.cancelled() => return false,
            () = tokio::time::sleep(RESEND_PAUSE) => {}
        }
    }
}

/// Answers on the exchange the request came through; the asker has bound its queue there.
pub(super) async fn send(
    worker: &Worker,
    exchange: &str,
    reply_to: &str,
    correlation_id: Option<&str>,
    body: &Value,
) -> Result<(), crate::broker::Error> {
    let message = Message {
        correlation_id: correlation_id.map(str::to_owned),
        ..Message::document(exchange, reply_to, body)
    };
    worker.broker.publish(&message).await
}
