//! Appending: what callers hand over and what they get back.
use std::sync::Arc;

use stratalog_projections::View;
use stratalog_schema::{Event, EventId, Meta, StreamId, events::TelemetryRecord};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::{Latest, flush::Flusher, statistics, tail::Tail, writer::Writer};
use crate::{db::Database, error::Error, tasks::Tasks};

/// Requests that may wait for the writer.
const QUEUE: usize = 4_096;

/// What a stream must look like for an append to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything.
    Any,
    /// Exactly this version; 0: the stream has no events.
    Version(i64),
}

/// One event to append.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its identity; a v7 UUID unless derived from a message.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamId,
    /// What happened.
    pub event: Event,
}

impl NewEvent {
    /// An event with a fresh identity.
    pub fn new(stream: StreamId, event: impl Into<Event>) -> Self {
        Self {
            id: Uuid::now_v7(),
            stream,
            event: event.into(),
        }
    }
}

/// What is appended together, or not at all.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Who and why.
    pub meta: Meta,
    /// Model events, in order.
    pub events: Vec<NewEvent>,
    /// Versions the decision was based on.
    pub expected: Vec<(StreamId, Expected)>,
    /// Generation of the latest rows that the decision was based on, if it was.
    pub rests_on: Option<u64>,
    /// Telemetry, after the model events. A record whose event id was seen lately is dropped.
    pub telemetry: Vec<TelemetryRecord>,
    /// Identity of the command: a second append with it changes nothing and gets the first one's
    /// answer.
    pub command_id: Option<Uuid>,
}

/// Where an append landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Position of the first event; `last + 1` when nothing was left to append.
    pub first_position: i64,
    /// Position of the last event.
    pub last_position: i64,
    /// Whether an earlier append with the same command id did it.
    pub repeated: bool,
}

/// A request on its way to the writer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) append: Append,
    pub(super) reply: oneshot::Sender<Result<Appended, Error>>,
}

/// What observers see of a committed batch, in order, before anybody is answered.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Position of the batch's first event; what lies between two batches was appended by other
    /// processes.
    pub first_position: i64,
    /// Position of the batch's last event.
    pub last_position: i64,
    /// Its model events.
    pub events: Arc<[stratalog_schema::Recorded]>,
    /// Views it changed.
    pub views: Arc<[View]>,
}

/// Called by the writer after each commit, and for what other processes committed. Must be quick.
pub trait Observer: Send + Sync {
    /// A batch has been committed.
    fn committed(&self, batch: &Batch);

    /// The database has crashed and come back without batches that nobody was told of yet: what
    /// lies after `head` never happened.
    fn went_back(&self, head: i64);
}

/// Handle of the log.
#[derive(Debug, Clone)]
pub struct Log {
    requests: mpsc::Sender<Request>,
    durable: watch::Receiver<i64>,
    latest: Latest,
    tail: Tail,
}

impl Log {
    /// Starts writer and flusher. The writer connects (and connects again) by itself.
    pub fn start(database: Database, observers: Vec<Arc<dyn Observer>>, tasks: &Tasks) -> Self {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let tail = Tail::default();
        let (flusher, durable) = Flusher::start(database.clone(), tail.clone(), tasks);
        let stop = tasks.stop_token();
        let latest = Latest::default();
        let statistics = statistics::run(database.clone(), durable.clone(), stop.clone());
        tasks.spawn("statistics", statistics);
        let writer = Writer::new(database, (inbox, flusher), observers, latest.clone());
        tasks.spawn("log writer", writer.run(stop));
        Self {
            requests,
            durable,
            latest,
            tail,
        }
    }

    /// Appends, and returns once it is durable.
    ///
    /// # Errors
    /// `Conflict` when an expectation does not hold, `Unavailable` when the database is down,
    /// `Internal` when an event contradicts the views. Nothing was appended then.
    pub async fn append(&self, append: Append) -> Result<Appended, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Unavailable("the log is stopping".to_owned());
        self.requests
            .send(Request { append, reply })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Rows that change often, as the writer left them.
    pub fn latest(&self) -> &Latest {
        &self.latest
    }

    /// The newest durable batches.
    pub(super) fn tail(&self) -> Tail {
        self.tail.clone()
    }

    /// The newest durable position, and its changes.
    pub fn durable(&self) -> watch::Receiver<i64> {
        self.durable.clone()
    }
}
