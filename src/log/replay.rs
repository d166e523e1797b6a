//! Replay: the views anew from the log, beside the live ones and without stopping anybody, and the
//! proof that both are the same.
use std::time::{Duration, Instant};

use stratalog_projections::rebuild::{self, Compared, Rebuild};
use tokio_postgres::{Client, IsolationLevel, error::SqlState};

use super::{LOG_LOCK, REPLAY_LOCK};
use crate::error::Error;

/// Positions that may be left for the time under the lock.
const BEHIND_MAX: i64 = 1_000;
/// Rounds of catching up before the lock is taken whatever is left.
const CATCH_UPS_MAX: u32 = 20;
/// How often the swap is tried.
const SWAPS_MAX: u32 = 40;
/// Pause between two tries, in which appends go on.
const SWAP_PAUSE: Duration = Duration::from_millis(250);
/// How long a try waits for older readers to end; appends wait meanwhile.
const READERS_WAIT: Duration = Duration::from_secs(1);
/// How often older readers are looked for.
const READERS_POLL: Duration = Duration::from_millis(5);

/// Somebody who looks at a moment before this transaction would find in the new tables less than
/// was true then. Appends that wait for the log's lock have looked at nothing yet.
const OLDER_READERS: &str = "\
SELECT EXISTS (SELECT 1 FROM pg_stat_activity \
WHERE datname = current_database() AND backend_type = 'client backend' \
  AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL \
  AND wait_event IS DISTINCT FROM 'advisory' AND age(backend_xmin) >= age($1::text::xid))";

/// A finished replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Position the new views begin their life with.
    pub position: i64,
    /// How long appends had to wait for the swap that succeeded.
    pub pause: Duration,
}

/// Rebuilds all views and puts them in the place of the live ones, which may be missing. Appends
/// and reads go on but for the moment of the swap. `progress` hears position and head.
///
/// # Errors
/// `Unavailable` when another rebuild is running or others keep the views locked; database errors;
/// events that do not fold. The live views are as they were then.
pub async fn replay(
    client: &mut Client,
    progress: &(dyn Fn(i64, i64) + Sync),
) -> Result<Replayed, Error> {
    exclusively(client).await?;
    let outcome = build_and_swap(client, progress).await;
    if outcome.is_err() {
        // a lost connection took transaction and locks with it, and the next rebuild clears up
        client.batch_execute("ROLLBACK").await.ok();
        rebuild::discard(client).await.ok();
    }
    client
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await?;
    outcome
}

/// Rebuilds all views as one snapshot of the database sees the log, compares, and changes nothing.
///
/// # Errors
/// As [`replay`].
pub async fn check(
    client: &mut Client,
    progress: &(dyn Fn(i64, i64) + Sync),
) -> Result<(i64, Vec<Compared>), Error> {
    exclusively(client).await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await?;
    let head = rebuild::head(&transaction).await?;
    rebuild::build_beside(&transaction, head, &|position| progress(position, head)).await?;
    let compared = rebuild::compare(&transaction).await?;
    transaction.rollback().await?;
    client
        .batch_execute("SELECT pg_advisory_unlock_all()")
        .await?;
    Ok((head, compared))
}

/// Two rebuilds would share their tables.
async fn exclusively(client: &Client) -> Result<(), Error> {
    let row = client
        .query_one("SELECT pg_try_advisory_lock($1)", &[&REPLAY_LOCK])
        .await?;
    match row.try_get(0)? {
        true => Ok(()),
        false => Err(Error::Unavailable("another rebuild is running".to_owned())),
    }
}

async fn build_and_swap(
    client: &Client,
    progress: &(dyn Fn(i64, i64) + Sync),
) -> Result<Replayed, Error> {
    let mut rebuild = Rebuild::begin(client).await?;
    let head = rebuild::head(client).await?;
    rebuild
        .fold_upto(client, head, &|position| progress(position, head))
        .await?;
    rebuild.settle(client).await?;
    for _ in 0..SWAPS_MAX {
        for _ in 0..CATCH_UPS_MAX {
            let head = rebuild::head(client).await?;
            if head - rebuild.position() <= BEHIND_MAX {
                break;
            }
            rebuild.catch_up(client, head).await?;
            progress(rebuild.position(), head);
        }
        client
            .execute("SELECT pg_advisory_lock($1)", &[&LOG_LOCK])
            .await?;
        let locked = Instant::now();
        let swapped = swap_locked(client, &mut rebuild).await?;
        client
            .execute("SELECT pg_advisory_unlock($1)", &[&LOG_LOCK])
            .await?;
        if swapped {
            return Ok(Replayed {
                position: rebuild.position(),
                pause: locked.elapsed(),
            });
        }
        tokio::time::sleep(SWAP_PAUSE).await;
    }
    let message = "the views stay locked by others: nothing was swapped";
    Err(Error::Unavailable(message.to_owned()))
}

/// Folds the last bit and swaps; false when readers are in the way. Nothing is appended meanwhile.
async fn swap_locked(client: &Client, rebuild: &mut Rebuild) -> Result<bool, Error> {
    let head = rebuild::head(client).await?;
    rebuild.catch_up(client, head).await?;
    if !older_readers_ended(client).await? {
        return Ok(false);
    }
    client
        .batch_execute("BEGIN; SET LOCAL lock_timeout = '500ms'")
        .await?;
    match rebuild::swap(client, head).await {
        Ok(()) => {
            client.batch_execute("COMMIT").await?;
            Ok(true)
        }
        Err(stratalog_projections::Error::Database(error))
            if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
        {
            client.batch_execute("ROLLBACK").await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits a moment for readers that began before everything was written.
async fn older_readers_ended(client: &Client) -> Result<bool, Error> {
    let now = client
        .query_one("SELECT pg_current_xact_id()::xid::text", &[])
        .await?;
    let now: String = now.try_get(0)?;
    let started = Instant::now();
    loop {
        let older = client.query_one(OLDER_READERS, &[&now]).await?;
        if !older.try_get::<_, bool>(0)? {
            return Ok(true);
        }
        if started.elapsed() > READERS_WAIT {
            return Ok(false);
        }
        tokio::time::sleep(READERS_POLL).await;
    }
}
