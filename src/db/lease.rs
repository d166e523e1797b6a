//! A lease: of all that want one, one has it, until its connection ends.
use std::time::Duration;

use tokio_postgres::Client;

use super::Database;
use crate::error::Error;

/// Pause between attempts to get a lease.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the database may take to say that a lease is still held.
const PATIENCE: Duration = Duration::from_secs(5);
/// A holder whose machine has vanished is given up by the database after about 15 seconds; the
/// system's own settings would wait for hours.
const KEEPALIVES: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; \
                          SET tcp_keepalives_count = 2; SET tcp_user_timeout = 15000";

/// A session advisory lock on a connection of its own.
#[derive(Debug)]
pub struct Lease(Client);

impl Lease {
    /// Waits until nobody else holds the lock `key`.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub async fn take(database: &Database, key: i64) -> Result<Self, Error> {
        let client = database.dedicated().await?;
        client.batch_execute(KEEPALIVES).await?;
        loop {
            let sql = "SELECT pg_try_advisory_lock($1)";
            let row = client.query_one(sql, &[&key]).await?;
            if row.try_get(0)? {
                return Ok(Self(client));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes sure that it is still held.
    ///
    /// # Errors
    /// `Unavailable` when it is lost, or when that cannot be known.
    pub async fn hold(&self) -> Result<(), Error> {
        match tokio::time::timeout(PATIENCE, self.0.batch_execute("SELECT 1")).await {
            Ok(answered) => Ok(answered?),
            Err(_) => Err(Error::Unavailable("the database is silent".to_owned())),
        }
    }
}
