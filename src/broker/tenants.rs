//! The virtual hosts of tenants, where their agents are: one connection for each, made when it is
//! first needed, and requests over it that wait for their answer.
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use super::{
    Broker, BrokerState, ConsumerSpec, Deliveries, Error, Message, Options, Topology,
    admin::tenant_vhost,
    topology::{self, SERVICE_ROUTING_KEY},
    wire::ServiceTask,
};

/// Answers taken from the broker ahead of being handed out.
const PREFETCH: u16 = 200;
/// How much earlier than its sender a request is given up by the broker; milliseconds.
const EXPIRES_BEFORE_MS: u64 = 200;

/// How often something is sent before its sender hears of an error.
const TRIES: usize = 3;
/// How long a request waits for its connection.
const CONNECTING_MAX: Duration = Duration::from_secs(10);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no queue for it: nobody has ever listened there.
    #[error("nobody listens to {0}")]
    Nobody(String),
    /// Whoever listens is silent.
    #[error("no answer from {0}")]
    Silent(String),
    /// It is not known whether anybody would answer.
    #[error(transparent)]
    Broker(#[from] Error),
}

/// Connections by tenant; clones share them.
#[derive(Clone, Debug)]
pub struct Tenants {
    options: Options,
    cancel: CancellationToken,
    peers: Arc<Mutex<HashMap<String, Peer>>>,
}

impl Tenants {
    /// `options` say how to reach the broker; the virtual host follows from the tenant.
    pub fn new(options: Options, cancel: CancellationToken) -> Self {
        Self {
            options,
            cancel,
            peers: Arc::default(),
        }
    }

    /// A tenant's connection, which is made in the background. Must be called inside a Tokio
    /// runtime.
    pub fn of(&self, tenant: &str) -> Peer {
        let mut peers = lock(&self.peers);
        if let Some(peer) = peers.get(tenant) {
            return peer.clone();
        }
        let options = Options {
            vhost: Some(tenant_vhost(tenant)),
            ..self.options.clone()
        };
        let peer = Peer::start(options, self.cancel.clone());
        peers.insert(tenant.to_owned(), peer.clone());
        peer
    }
}

type Waiting = HashMap<String, oneshot::Sender<Value>>;

/// One virtual host; clones share the connection.
#[derive(Clone, Debug)]
pub struct Peer {
    broker: Broker,
    /// Where answers to requests arrive; it is this connection's own.
    answers: Arc<str>,
    waiting: Arc<Mutex<Waiting>>,
    /// Exchanges through which somebody may answer already.
    bound: Arc<Mutex<HashSet<(String, String)>>>,
    /// When an agent was last heard, by its queue; before that, when it was first asked.
    heard: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Peer {
    fn start(options: Options, cancel: CancellationToken) -> Self {
        let answers: Arc<str> = format!("stratalog_answers_{}", Uuid::now_v7().simple()).into();
        let topology = Topology::default().exclusive(&answers);
        let broker = Broker::start(options, topology, cancel);
        let deliveries = broker.consume(ConsumerSpec {
            queue: answers.to_string(),
            prefetch: PREFETCH,
        });
        let peer = Self {
            answers,
            waiting: Arc::default(),
            bound: Arc::default(),
            heard: Arc::default(),
            broker,
        };
        let taking = take(deliveries, peer.waiting.clone());
        peer.broker.shared.tasks.spawn(taking);
        peer
    }

    /// The connection itself.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Lets answers that come through an exchange reach a durable queue. Agents answer through
    /// their own exchange, with the name of the queue as the routing key.
    ///
    /// # Errors
    /// When the broker cannot be reached, or refuses.
    pub async fn bind(&self, queue: &str, exchange: &str) -> Result<(), Error> {
        self.bound_to(topology::responses_in(queue, exchange), (queue, exchange))
            .await
    }

    async fn bound_to(
        &self,
        topology: Topology,
        (queue, exchange): (&str, &str),
    ) -> Result<(), Error> {
        let pair = (queue.to_owned(), exchange.to_owned());
        if lock(&self.bound).contains(&pair) {
            return Ok(());
        }
        self.broker.declare(&topology).await?;
        lock(&self.bound).insert(pair);
        Ok(())
    }

    /// Forgets an agent, so that its exchange is not made again after it was deleted.
    pub fn forget(&self, exchange: &str) {
        lock(&self.bound).retain(|(_, other)| other != exchange);
        lock(&self.heard).remove(exchange);
        self.broker.forget_exchange(exchange);
    }

    /// A connection that is being made is waited for; one that cannot be made shows on using it.
    async fn connected(&self, limit: Duration) {
        let mut state = self.broker.state();
        let is_up = state.wait_for(BrokerState::is_up);
        if tokio::time::timeout(limit.min(CONNECTING_MAX), is_up)
            .await
            .is_err()
        {
            debug!("there is no connection to the message broker");
        }
    }

    /// Sends a request to an exchange and waits for the answer.
    ///
    /// # Errors
    /// When nobody answers within `limit`, or the broker cannot be reached.
    pub async fn ask(
        &self,
        (exchange, routing_key): (&str, &str),
        body: &Value,
        limit: Duration,
    ) -> Result<Value, AskError> {
        self.connected(limit).await;
        let topology = Topology::default()
            .exchange(exchange, topology::Kind::Direct)
            .binding(&self.answers, exchange, &self.answers);
        self.bound_to(topology, (&self.answers, exchange)).await?;
        let id = Uuid::now_v7().to_string();
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(id.clone(), sender);
        let _forget = Forget(&self.waiting, &id);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let message = Message::document(exchange, routing_key, body)
            .reply_to(&self.answers)
            .correlation_id(&id)
            .expiration_ms(limit_ms.saturating_sub(EXPIRES_BEFORE_MS).max(1))
            .mandatory();
        let asked = async {
            match self.broker.publish(&message).await {
                Ok(()) => {}
                Err(Error::Unroutable { .. }) => return Err(AskError::Nobody(exchange.to_owned())),
                Err(error) => return Err(error.into()),
            }
            receiver
                .await
                .map_err(|_| AskError::Silent(exchange.to_owned()))
        };
        let answer = tokio::time::timeout(limit, asked)
            .await
            .unwrap_or_else(|_| Err(AskError::Silent(exchange.to_owned())));
        if answer.is_err() {
            // an agent that was deleted and made again takes nothing over from the one before
            lock(&self.bound).retain(|(_, other)| other != exchange);
        }
        answer
    }

    /// Leaves a request that needs no answer in a queue; whoever takes from it may come later.
    ///
    /// # Errors
    /// When there is no such queue, or the broker cannot be reached.
    pub async fn tell(
        &self,
        (exchange, routing_key): (&str, &str),
        body: &Value,
    ) -> Result<(), AskError> {
        let mut tries = 1;
        loop {
            self.connected(CONNECTING_MAX).await;
            match self.tell_once((exchange, routing_key), body).await {
                // a channel that ended takes with it what others had sent just before
                Err(AskError::Broker(error)) if tries < TRIES && !error.is_down() => {
                    debug!(exchange, %error, "an agent is told once more");
                    tries += 1;
                }
                told => return told,
            }
        }
    }

    async fn tell_once(
        &self,
        (exchange, routing_key): (&str, &str),
        body: &Value,
    ) -> Result<(), AskError> {
        // an exchange that is not there would end the channel
        let topology = Topology::default().exchange(exchange, topology::Kind::Direct);
        self.broker.declare(&topology).await?;
        let message = Message::document(exchange, routing_key, body).mandatory();
        match self.broker.publish(&message).await {
            Ok(()) => Ok(()),
            Err(Error::Unroutable { .. }) => Err(AskError::Nobody(exchange.to_owned())),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the agent that takes its messages from `queue` answers.
    ///
    /// # Errors
    /// When it does not within `limit`, or the broker cannot be reached.
    pub async fn ping(&self, queue: &str, limit: Duration) -> Result<(), AskError> {
        lock(&self.heard)
            .entry(queue.to_owned())
            .or_insert_with(Instant::now);
        let body = ServiceTask::ping().to_body();
        let answer = self.ask((queue, SERVICE_ROUTING_KEY), &body, limit).await?;
        if answer.get("time").is_none() {
            debug!(queue, "an odd answer to a ping");
            return Err(AskError::Silent(queue.to_owned()));
        }
        self.heard_from(queue);
        Ok(())
    }

    /// Notes a sign of life.
    pub fn heard_from(&self, queue: &str) {
        lock(&self.heard).insert(queue.to_owned(), Instant::now());
    }

    /// For how long an agent has not been heard of, as far as it was asked.
    pub fn silence_of(&self, queue: &str) -> Duration {
        let heard = lock(&self.heard).get(queue).copied();
        heard.map_or(Duration::ZERO, |at| at.elapsed())
    }
}

/// A request that is over takes no answer any more.
struct Forget<'a>(&'a Mutex<Waiting>, &'a str);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(self.1);
    }
}

async fn take(mut deliveries: Deliveries, waiting: Arc<Mutex<Waiting>>) {
    while let Some(delivery) = deliveries.recv().await {
        let id = delivery.correlation_id.as_deref().unwrap_or_default();
        let asked = lock(&waiting).remove(id);
        match (asked, serde_json::from_slice(&delivery.body)) {
            // whoever asked may have given up in this moment
            (Some(asked), Ok(answer)) => drop(asked.send(answer)),
            (None, _) => debug!(id, "an answer comes too late"),
            (Some(_), Err(error)) => debug!(id, %error, "an answer is no JSON"),
        }
        if let Err(error) = delivery.ack.ack().await {
            debug!(%error, "an answer went with its connection");
        }
    }
}

/// A table is as good after a panic elsewhere as before.
fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
