//! The unit of work: load → decide → append with inline projections → commit. Everything that
//! changes the model goes through here, and every answer is read here, now or as of a position.
use std::sync::Arc;

use stratalog_projections::{At, Reader, reader, rebuild, tables};
use stratalog_schema::{Meta, StreamId, events::TelemetryRecord, migrate::migrate};
use uuid::Uuid;

mod fence;
mod replies;
mod terms;

pub use fence::Fence;
pub use replies::{Begun, Replies, Reply};
pub use terms::{Condition, Terms};

use crate::{
    db::{Database, Pooled},
    error::Error,
    log::{
        Append, Appended, Expected, LOG_LOCK, Log, NewEvent, Subscription, append::Observer, read,
    },
    tasks::Tasks,
};

/// How often a command is decided anew when others were faster. Many, because a change of an
/// execution's status rests on a stream in which operations move all the time.
const ATTEMPTS: u32 = 32;

/// A reader over a pooled connection.
pub type View = Reader<Pooled>;

/// What a command decided.
#[derive(Debug, Default)]
pub struct Decision {
    /// Events to append, in order.
    pub events: Vec<NewEvent>,
    /// Versions the decision rests on.
    pub expected: Vec<(StreamId, Expected)>,
    /// Execution logs and events that belong to it.
    pub telemetry: Vec<TelemetryRecord>,
}

impl Decision {
    /// Nothing is to be done.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn event(
        &mut self,
        stream: StreamId,
        event: impl Into<stratalog_schema::Event>,
    ) -> &mut Self {
        self.events.push(NewEvent::new(stream, event));
        self
    }

    /// Adds what another decision comes to.
    pub fn extend(&mut self, other: Self) {
        self.events.extend(other.events);
        self.expected.extend(other.expected);
        self.telemetry.extend(other.telemetry);
    }

    /// Rests the decision on a stream's version in `view`: if anybody changes it first, the command
    /// is decided anew.
    ///
    /// # Errors
    /// Database errors.
    pub async fn rests_on(&mut self, view: &View, stream: StreamId) -> Result<&mut Self, Error> {
        let version = read::stream_version(view, &stream).await?;
        self.expected.push((stream, Expected::Version(version)));
        Ok(self)
    }

    /// As [`Decision::rests_on`], unless it does so already.
    ///
    /// # Errors
    /// Database errors.
    pub async fn rests_on_once(
        &mut self,
        view: &View,
        stream: StreamId,
    ) -> Result<&mut Self, Error> {
        match self.expected.iter().any(|(known, _)| *known == stream) {
            true => Ok(self),
            false => self.rests_on(view, stream).await,
        }
    }
}

/// The store.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    log: Log,
}

impl Store {
    /// Migrates, rebuilds views of another version, and starts the log's writer.
    ///
    /// # Errors
    /// `Unavailable` when the database is down, `Internal` when migration or rebuild fail.
    pub async fn open(
        database: Database,
        observers: Vec<Arc<dyn Observer>>,
        tasks: &Tasks,
    ) -> Result<Self, Error> {
        prepare(&database).await?;
        let log = Log::start(database.clone(), observers, tasks);
        Ok(Self { database, log })
    }

    /// The database, for those with connections of their own.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Starts reading.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub async fn read(&self, at: At) -> Result<View, Error> {
        let connection = Pooled(self.database.reader().await?);
        Ok(Reader::begin(connection, at).await?)
    }

    /// Position of the log's head.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub async fn head(&self) -> Result<i64, Error> {
        let connection = Pooled(self.database.reader().await?);
        Ok(reader::head(&connection).await?)
    }

    /// The answers to requests that may be sent again.
    pub fn replies(&self) -> Replies<'_> {
        Replies::of(&self.database)
    }

    /// Appends what needs no decision, under the terms of the request it is about.
    ///
    /// # Errors
    /// As [`Log::append`]; 409 when a request with the same key has done it; `Unavailable` from
    /// behind a fence that is broken.
    pub async fn append(&self, mut append: Append) -> Result<Appended, Error> {
        if let Some(fence) = Fence::current() {
            fence.guard(&mut append);
            let appended = self.append_under_terms(append).await;
            return appended.map_err(|error| fence.judge(error));
        }
        self.append_under_terms(append).await
    }

    /// Appends what was decided on what the log's writer knows by heart. `None`: somebody was
    /// faster, and nothing was appended.
    ///
    /// # Errors
    /// As [`Store::append`], without `Conflict`.
    pub async fn append_known(&self, append: Append) -> Result<Option<Appended>, Error> {
        match self.append(append).await {
            Ok(appended) => Ok(Some(appended)),
            Err(Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn append_under_terms(&self, mut append: Append) -> Result<Appended, Error> {
        let terms = Terms::current().filter(|_| append.command_id.is_none());
        let Some(terms) = terms else {
            return self.log.append(append).await;
        };
        append.command_id = terms.command_id();
        let appended = self.log.append(append).await?;
        terms.landed(&appended)?;
        Ok(appended)
    }

    /// Decides on the current state and appends the outcome; decides anew when another command came
    /// first.
    ///
    /// `decide` may run several times: it must do nothing but read and compute. What it returns
    /// beside the decision is handed back with the position. It is given the view to share, `async
    /// |view| { let view = &*view; … }`: were it lent, the compiler could not see that the whole
    /// command may move between threads.
    ///
    /// # Errors
    /// What `decide` refuses; 412 when a condition of the request does not hold; 409 when a request
    /// with the same key has done it; `Conflict` when others kept coming first; database errors.
    pub async fn command<T, F>(
        &self,
        meta: &Meta,
        command_id: Option<Uuid>,
        decide: impl Fn(Arc<View>) -> F,
    ) -> Result<(Appended, T), Error>
    where
        F: Future<Output = Result<(Decision, T), Error>>,
    {
        let terms = Terms::current();
        let mut attempt = 0;
        loop {
            let view = Arc::new(self.read(At::Now).await?);
            let (mut decision, outcome) = decide(view.clone()).await?;
            let head = view.head();
            if let Some(terms) = &terms {
                terms.check(&view, &mut decision).await?;
            }
            if let Some(view) = Arc::into_inner(view) {
                drop(view.finish().await?);
            }
            if decision.events.is_empty() && decision.telemetry.is_empty() {
                let appended = Appended {
                    first_position: head + 1,
                    last_position: head,
                    repeated: false,
                };
                return Ok((appended, outcome));
            }
            let append = Append {
                meta: meta.clone(),
                events: decision.events,
                expected: decision.expected,
                rests_on: None,
                telemetry: decision.telemetry,
                command_id,
            };
            attempt += 1;
            match self.append(append).await {
                Ok(appended) => return Ok((appended, outcome)),
                Err(Error::Conflict { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Follows the log after a position.
    pub fn subscribe(&self, after: i64) -> Subscription {
        Subscription::after(self.database.clone(), &self.log, after)
    }
}

/// Brings tables and views to this version. Only one process at a time does it.
///
/// # Errors
/// Database errors, failed migrations, events that do not fold.
pub async fn prepare(database: &Database) -> Result<(), Error> {
    let mut client = database.dedicated().await?;
    migrate(&mut client).await.map_err(Error::internal)?;
    let transaction = client.transaction().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOG_LOCK])
        .await?;
    let outdated = tables::outdated(&transaction).await?;
    if !outdated.is_empty() {
        let names: Vec<&str> = outdated.iter().map(|view| view.name()).collect();
        tracing::info!(views = names.join(" "), "rebuilding views from the log");
        let head = rebuild::head(&transaction).await?;
        rebuild::build_beside(&transaction, head, &|_| {}).await?;
        rebuild::swap(&transaction, head).await?;
    }
    transaction.commit().await?;
    Ok(())
}
