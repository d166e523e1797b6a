//! The supervised connection: connects in the background, declares the topology, and starts over
//! when it is lost.
use std::{path::PathBuf, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures::StreamExt;
use lapin::{Channel, Connection, ConnectionProperties, Event, uri::AMQPUri};
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{Error, Line, Topology, address, topology};

/// How to reach the broker and how to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`, or `amqps://…`.
    pub url: String,
    /// The same for the other nodes of a cluster; tried in turn.
    pub other_urls: Vec<String>,
    /// PEM file with the authorities that may have signed the broker's certificate; without it
    /// those that this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Shown in the broker's list of connections.
    pub name: String,
    /// Replaces the virtual host of the URL when given.
    pub vhost: Option<String>,
    pub heartbeat_s: u16,
    pub connect_timeout_ms: u64,
    pub backoff_min_ms: u64,
    pub backoff_max_ms: u64,
    pub confirm_timeout_ms: u64,
    /// Messages sent and not yet confirmed; the next publisher waits.
    pub unconfirmed_max: usize,
}

impl Options {
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            other_urls: Vec::new(),
            ca_file: None,
            name: name.into(),
            vhost: None,
            heartbeat_s: 30,
            connect_timeout_ms: 10_000,
            backoff_min_ms: 200,
            backoff_max_ms: 5_000,
            confirm_timeout_ms: 30_000,
            unconfirmed_max: 2_048,
        }
    }

    /// Where to go with the connection of this number, counted from 1.
    fn uri(&self, number: u64) -> Result<AMQPUri, Error> {
        let turns = self.other_urls.len() + 1;
        let turn = usize::try_from(number.saturating_sub(1)).unwrap_or_default() % turns;
        let url = match turn.checked_sub(1) {
            None => &self.url,
            Some(other) => self.other_urls.get(other).unwrap_or(&self.url),
        };
        let mut uri = address(url)?;
        if let Some(vhost) = &self.vhost {
            uri.vhost.clone_from(vhost);
        }
        uri.query.heartbeat.get_or_insert(self.heartbeat_s);
        uri.query
            .connection_timeout
            .get_or_insert(self.connect_timeout_ms);
        Ok(uri)
    }

    /// The user that connections are made with.
    fn user(&self) -> Result<String, Error> {
        Ok(self.uri(1)?.authority.userinfo.username)
    }
}

/// What operators and readiness checks see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerState {
    Connecting,
    Up,
    /// Lost, refused or blocked; attempts go on.
    Degraded {
        reason: String,
    },
}

impl BrokerState {
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }
}

/// One life of the connection.
pub(super) struct Session {
    /// Grows with each connection, so that a consumer knows whether it already saw this one.
    pub(super) number: u64,
    connection: Connection,
    publisher: ArcSwapOption<Channel>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) async fn channel(&self) -> Result<Channel, Error> {
        Ok(self.connection.create_channel().await?)
    }

    /// The channel for publishing. The broker closes it when somebody publishes to an exchange that
    /// does not exist, so it is opened again when found closed; two callers doing so at once is
    /// harmless.
    pub(super) async fn publisher(&self) -> Result<Arc<Channel>, Error> {
        if let Some(channel) = self.publisher.load_full()
            && channel.status().connected()
        {
            return Ok(channel);
        }
        let channel = Arc::new(self.channel().await?);
        channel
            .confirm_select(lapin::options::ConfirmSelectOptions::default())
            .await?;
        self.publisher.store(Some(channel.clone()));
        Ok(channel)
    }

    /// Declares on a channel of its own, because a conflict closes the channel it happens on.
    pub(super) async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        let channel = self.channel().await?;
        topology::declare(&channel, topology).await?;
        channel.close(200, "declared".into()).await?;
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) topology: ArcSwap<Topology>,
    pub(super) unconfirmed: Semaphore,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    state: watch::Sender<BrokerState>,
    pub(super) tasks: TaskTracker,
    pub(super) cancel: CancellationToken,
}

/// Handle to the connection; clones share it.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) shared: Arc<Shared>,
}

impl Broker {
    /// Starts to connect and returns at once. Must be called inside a Tokio runtime.
    pub fn start(options: Options, topology: Topology, cancel: CancellationToken) -> Self {
        let shared = Arc::new(Shared {
            unconfirmed: Semaphore::new(options.unconfirmed_max),
            options,
            topology: ArcSwap::from_pointee(topology),
            session: watch::Sender::new(None),
            state: watch::Sender::new(BrokerState::Connecting),
            tasks: TaskTracker::new(),
            cancel,
        });
        shared.tasks.spawn(supervise(shared.clone()));
        Self { shared }
    }

    /// Another connection to the same place, which ends with this one's token: for what must not
    /// keep the first one from being made.
    #[must_use]
    pub fn beside(&self, topology: Topology) -> Self {
        let (options, cancel) = (self.shared.options.clone(), self.shared.cancel.clone());
        Self::start(options, topology, cancel)
    }

    /// The user that the connection is made with.
    ///
    /// # Errors
    /// `Configuration` for a URL that is none.
    pub fn user(&self) -> Result<String, Error> {
        self.shared.options.user()
    }

    pub fn state(&self) -> watch::Receiver<BrokerState> {
        self.shared.state.subscribe()
    }

    /// Declares now when connected, and again after every reconnect.
    pub async fn declare(&self, topology: &Topology) -> Result<(), Error> {
        self.remember(topology);
        match self.session() {
            Ok(session) => session.declare(topology).await,
            // Will be declared as soon as there is a connection.
            Err(Error::Down(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Declares with the next consumer, and after every reconnect.
    pub fn remember(&self, topology: &Topology) {
        self.shared.topology.rcu(|known| known.merged(topology));
    }

    /// Deletes a queue and forgets its declaration. A queue that is not there is no error.
    pub async fn delete_queue(&self, name: &str) -> Result<(), Error> {
        self.shared.topology.rcu(|known| known.without_queue(name));
        let channel = self.session()?.channel().await?;
        channel
            .queue_delete(name.into(), lapin::options::QueueDeleteOptions::default())
            .await?;
        Ok(())
    }

    /// An exchange is not declared again after a reconnect.
    pub fn forget_exchange(&self, name: &str) {
        self.shared
            .topology
            .rcu(|known| known.without_exchange(name));
    }

    /// Cancel first (the token given to [`Broker::start`]), then wait here for the tasks to end.
    pub async fn closed(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    pub(super) fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.shared.session.borrow().as_ref() {
            return Ok(session.clone());
        }
        Err(Error::Down(match &*self.shared.state.borrow() {
            BrokerState::Degraded { reason } => reason.clone(),
            BrokerState::Connecting | BrokerState::Up => "still connecting".to_owned(),
        }))
    }
}

async fn supervise(shared: Arc<Shared>) {
    let mut number = 0;
    let mut backoff_ms = shared.options.backoff_min_ms;
    loop {
        number += 1;
        let reason = match open(&shared, number).await {
            Ok((session, events)) => {
                info!(name = %shared.options.name, "connected to the message broker");
                backoff_ms = shared.options.backoff_min_ms;
                let session = Arc::new(session);
                shared.session.send_replace(Some(session.clone()));
                shared.state.send_replace(BrokerState::Up);
                let reason = watch_session(&shared, &session, events).await;
                shared.session.send_replace(None);
                if shared.cancel.is_cancelled() {
                    close(&session).await;
                    return;
                }
                reason
            }
            Err(error) => error.to_string(),
        };
        warn!(%reason, retry_in_ms = backoff_ms, "no connection to the message broker");
        shared.state.send_replace(BrokerState::Degraded { reason });
        // Up to a quarter more, so that many processes do not come back in the same instant.
        let pause_ms = backoff_ms + rand::random_range(0..=backoff_ms / 4);
        tokio::select! {
            () = shared.cancel.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
        backoff_ms = (backoff_ms * 2).min(shared.options.backoff_max_ms);
    }
}

type Events = futures::stream::BoxStream<'static, Event>;

async fn open(shared: &Shared, number: u64) -> Result<(Session, Events), Error> {
    let options = &shared.options;
    let uri = options.uri(number)?;
    let line = Line::to(&uri, options.ca_file.as_deref()).await?;
    let properties =
        ConnectionProperties::default().with_connection_name(options.name.as_str().into());
    let limit = Duration::from_millis(options.connect_timeout_ms);
    let attempt = async {
        let connection = line.connect(uri, properties).await?;
        let events = connection.events_listener().boxed();
        let session = Session {
            number,
            connection,
            publisher: ArcSwapOption::empty(),
        };
        session.declare(&shared.topology.load()).await?;
        Ok((session, events))
    };
    tokio::select! {
        () = shared.cancel.cancelled() => Err(Error::Down("shutting down".to_owned())),
        done = tokio::time::timeout(limit, attempt) => {
            done.unwrap_or_else(|_| Err(Error::Down(format!("no answer within {limit:?}"))))
        }
    }
}

/// Returns why the connection ended. A blocked connection stays open: it is degraded until the
/// alarm is over.
async fn watch_session(shared: &Shared, session: &Session, mut events: Events) -> String {
    loop {
        let event = tokio::select! {
            () = shared.cancel.cancelled() => return "shutting down".to_owned(),
            event = events.next() => event,
        };
        match event {
            None => return "the connection was closed".to_owned(),
            // Only a channel ended; whoever used it notices.
            Some(Event::Error(error))
                if error.is_amqp_soft_error() && session.connection.status().connected() => {}
            Some(Event::Error(error)) => return error.to_string(),
            Some(Event::ConnectionBlocked(why)) => {
                let reason = format!("the broker accepts no messages: {why}");
                shared.state.send_replace(BrokerState::Degraded { reason });
            }
            Some(Event::ConnectionUnblocked) => {
                shared.state.send_replace(BrokerState::Up);
            }
            Some(_) => {}
        }
    }
}

async fn close(session: &Session) {
    if let Err(error) = session.connection.close(200, "shutting down".into()).await {
        info!(%error, "the message broker was gone before we said good-bye");
    }
}
