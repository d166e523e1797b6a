//! The flush barrier: batches commit without waiting for the disk; here one write with
//! `synchronous_commit=on` makes everything committed so far durable, and only then is anybody
//! answered.
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_postgres::Client;

use super::{
    append::{Appended, Batch},
    chain::Hash,
    tail::Tail,
};
use crate::{db::Database, error::Error, tasks::Tasks};

/// Batches that may wait for the disk.
const QUEUE: usize = 1_024;

/// Attempts to reach the database again.
const ATTEMPTS: u32 = 40;
/// Pause between them.
const RECONNECT: Duration = Duration::from_millis(500);

/// WAL is sequential: when this record is on disk, every earlier commit is.
const BARRIER: &str = "SELECT pg_logical_emit_message(true, 'es', '')";

/// A batch as the spine knows it.
const FIND: &str = "SELECT 1 FROM es.spine WHERE first_position = $1 AND chain = $2";

/// Answers that wait for a batch to become durable.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) chain: Hash,
    pub(super) batch: Batch,
    /// Epoch of the writer's knowledge when it was committed.
    pub(super) epoch: u64,
    pub(super) replies: Vec<(oneshot::Sender<Result<Appended, Error>>, Appended)>,
}

/// Handle of the flusher.
#[derive(Debug, Clone)]
pub(super) struct Flusher {
    batches: mpsc::Sender<Waiting>,
}

impl Flusher {
    pub(super) fn start(
        database: Database,
        tail: Tail,
        tasks: &Tasks,
    ) -> (Self, watch::Receiver<i64>) {
        let (batches, inbox) = mpsc::channel(QUEUE);
        let (durable, seen) = watch::channel(0);
        let flushed = Flushed { tail, durable };
        tasks.spawn("log flusher", run(database, inbox, flushed));
        (Self { batches }, seen)
    }

    /// Hands a committed batch over.
    pub(super) async fn flush(&self, batch: Waiting) {
        // the flusher lives as long as the writer: it ends only when this sender is gone
        self.batches.send(batch).await.ok();
    }
}

/// Who hears of batches that became durable, in this order.
struct Flushed {
    tail: Tail,
    durable: watch::Sender<i64>,
}

async fn run(database: Database, mut inbox: mpsc::Receiver<Waiting>, told: Flushed) {
    let mut client: Option<Client> = None;
    let mut gathered = Vec::new();
    while inbox.recv_many(&mut gathered, QUEUE).await > 0 {
        let flushed = flush_all(&database, &mut client, &gathered).await;
        for (batch, flushed) in gathered.drain(..).zip(flushed) {
            if flushed.is_ok() {
                // batches come in order; after a restore the order begins at a lower position
                let last_position = batch.batch.last_position;
                told.tail.push(batch.batch, batch.epoch);
                told.durable.send_replace(last_position);
            }
            for (reply, appended) in batch.replies {
                let answer = match &flushed {
                    Ok(()) => Ok(appended),
                    Err(reason) => Err(Error::Unavailable(reason.clone())),
                };
                // a caller that went away needs no answer
                reply.send(answer).ok();
            }
        }
    }
}

/// Flushes the gathered batches; a connection that died may mean a server that lost them, so then
/// each is looked up.
async fn flush_all(
    database: &Database,
    client: &mut Option<Client>,
    gathered: &[Waiting],
) -> Vec<Result<(), String>> {
    if let Some(connected) = client.as_ref()
        && connected.batch_execute(BARRIER).await.is_ok()
    {
        return gathered.iter().map(|_| Ok(())).collect();
    }
    *client = None;
    let connected = match connect_again(database).await {
        Ok(connected) => connected,
        Err(error) => return gathered.iter().map(|_| Err(error.to_string())).collect(),
    };
    let mut outcomes = Vec::with_capacity(gathered.len());
    for batch in gathered {
        let found = connected
            .query_opt(
                FIND,
                &[&batch.batch.first_position, &batch.chain.as_slice()],
            )
            .await;
        outcomes.push(match found {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("the database lost the batch before it was durable".to_owned()),
            Err(error) => Err(error.to_string()),
        });
    }
    *client = Some(connected);
    outcomes
}

/// A database that restarts is waited for: whether the batches are in it decides between an answer
/// and none.
async fn connect_again(database: &Database) -> Result<Client, Error> {
    let mut attempt = 1;
    loop {
        match connect(database).await {
            Err(Error::Unavailable(_)) if attempt < ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(RECONNECT).await;
            }
            connected => return connected,
        }
    }
}

async fn connect(database: &Database) -> Result<Client, Error> {
    let connected = database.dedicated().await?;
    connected
        .batch_execute("SET synchronous_commit = on")
        .await?;
    connected.batch_execute(BARRIER).await?;
    Ok(connected)
}
