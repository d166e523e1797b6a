//! Subscriptions: every model event once, in order, from a position on; woken by commits,
//! at-least-once over restarts when the subscriber keeps its checkpoint.
use std::{collections::VecDeque, time::Duration};

use stratalog_schema::Recorded;
use tokio::sync::watch;
use tokio_postgres::Client;

use super::{append::Log, read, tail::Tail};
use crate::{
    db::{Database, Pooled},
    error::Error,
};

/// Events read at a time.
const PAGE_EVENTS: i64 = 1_000;
/// How often the log is looked at for what other processes appended.
const POLL: Duration = Duration::from_millis(250);

/// A reader that follows the log.
#[derive(Debug)]
pub struct Subscription {
    database: Database,
    durable: watch::Receiver<i64>,
    tail: Tail,
    /// Epoch of the tail when the database was looked into last.
    epoch: Option<u64>,
    position: i64,
    generation: Option<u32>,
    ready: VecDeque<Recorded>,
}

impl Subscription {
    /// Follows the log after `position`.
    pub fn after(database: Database, log: &Log, position: i64) -> Self {
        Self {
            database,
            durable: log.durable(),
            tail: log.tail(),
            epoch: None,
            position,
            generation: None,
            ready: VecDeque::new(),
        }
    }

    /// The next event; waits until there is one.
    ///
    /// # Errors
    /// Database errors; calling again goes on where it stopped. `Unavailable` once a restore has
    /// put another log in place: positions mean something else then.
    pub async fn next(&mut self) -> Result<Recorded, Error> {
        let mut is_woken = true;
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.position = event.position;
                return Ok(event);
            }
            self.durable.mark_unchanged();
            if !(is_woken && self.take_tail()) {
                self.fill().await?;
            }
            if self.ready.is_empty() {
                let changed = tokio::time::timeout(POLL, self.durable.changed()).await;
                is_woken = changed.is_ok();
                // a closed channel means the process stops; polling goes on until the owner does,
                // too
                if let Ok(Err(_)) = changed {
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Takes what this process itself has appended lately, if that is what comes next.
    fn take_tail(&mut self) -> bool {
        let next = self
            .epoch
            .and_then(|epoch| self.tail.after(self.position, epoch));
        let Some((events, upto)) = next else {
            return false;
        };
        if events.is_empty() {
            // only telemetry
            self.position = upto;
        }
        self.ready.extend(events);
        true
    }

    /// Position of the event handed out last, or of what was passed over because nothing was there.
    pub fn position(&self) -> i64 {
        self.position
    }

    async fn fill(&mut self) -> Result<(), Error> {
        self.epoch = Some(self.tail.epoch());
        let connection = Pooled(self.database.reader().await?);
        connection.0.batch_execute("ROLLBACK").await?;
        let generation = read::generation(&connection.0).await?;
        if *self.generation.get_or_insert(generation) != generation {
            return Err(Error::Unavailable("the log was replaced".to_owned()));
        }
        // the head first: what is read after it cannot lie beyond a hole
        let head = read::head(&connection.0).await?;
        // a database that crashed may come back without its last, unanswered batches
        self.position = self.position.min(head);
        let page = read::page(&connection.0, self.position, head, PAGE_EVENTS).await?;
        if page.is_empty() {
            // only telemetry up to the head
            self.position = self.position.max(head);
        }
        self.ready.extend(page);
        Ok(())
    }
}

/// The position a subscriber has dealt with; 0 at first.
///
/// # Errors
/// Database errors.
pub async fn checkpoint(client: &Client, subscriber: &str) -> Result<i64, Error> {
    let row = client
        .query_one(
            "SELECT coalesce(max(position), 0) FROM es.checkpoint WHERE subscriber = $1",
            &[&subscriber],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Notes that a subscriber has dealt with everything up to a position.
///
/// # Errors
/// Database errors.
pub async fn save_checkpoint(
    client: &Client,
    subscriber: &str,
    position: i64,
) -> Result<(), Error> {
    let chain = read::chain_at(client, position).await?.unwrap_or_default();
    client
        .execute(
            "WITH added AS (INSERT INTO es.checkpoint (subscriber, position, chain) \
             VALUES ($1, $2, $3) ON CONFLICT DO NOTHING) \
             DELETE FROM es.checkpoint WHERE subscriber = $1 AND position < $2",
            &[&subscriber, &position, &chain.as_slice()],
        )
        .await?;
    Ok(())
}
