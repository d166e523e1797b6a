//! Connections: a pool for reads, and dedicated connections for the writer, its flush barrier and
//! lock holders.
use std::{str::FromStr, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::error::Error;

mod lease;

pub use lease::Lease;

/// How long a reader waits for a free connection.
const WAIT: Duration = Duration::from_secs(10);
/// Prepared statements a connection keeps; lists have as many forms as clients have filters.
const STATEMENTS_MAX: usize = 256;

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Database {
    config: Config,
    pool: Pool,
}

impl Database {
    /// Prepares connecting; nothing is opened yet. `readers` is the most connections reads may
    /// hold.
    ///
    /// # Errors
    /// `Internal` when the URL is none.
    pub fn new(url: &str, readers: usize) -> Result<Self, Error> {
        let mut config = Config::from_str(url).map_err(Error::internal)?;
        config.application_name("stratalogd");
        config.connect_timeout(Duration::from_secs(5));
        // readers begin with ROLLBACK, and a warning for each would travel for nothing; a page is
        // found before parallel workers have started
        config.options(
            "-c default_transaction_isolation=read\\ committed -c timezone=UTC \
             -c client_min_messages=error -c max_parallel_workers_per_gather=0 -c jit=off",
        );
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig {
                // every reader begins with ROLLBACK, so nothing of the last use survives
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(readers)
            .wait_timeout(Some(WAIT))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .map_err(Error::internal)?;
        Ok(Self { config, pool })
    }

    /// A pooled connection, for reads only.
    ///
    /// # Errors
    /// `Unavailable` when the database is down or all connections stay busy.
    pub async fn reader(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }

    /// A pooled connection outside any transaction: for single statements.
    ///
    /// # Errors
    /// `Unavailable` when the database is down or all connections stay busy.
    pub async fn idle(&self) -> Result<Object, Error> {
        let connection = self.pool.get().await?;
        // a reader that was dropped leaves its transaction open
        connection.batch_execute("ROLLBACK").await?;
        Ok(connection)
    }

    /// A connection of one's own, outside the pool.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub async fn dedicated(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        crate::tasks::detached("database connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "database connection ended");
            }
        });
        Ok(client)
    }
}

/// A pooled connection as views read it.
#[derive(Debug)]
pub struct Pooled(pub Object);

impl stratalog_projections::Connection for Pooled {
    fn client(&self) -> &Client {
        &self.0
    }

    async fn statement(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let kept = &self.0.statement_cache;
        if kept.size() >= STATEMENTS_MAX {
            kept.clear();
        }
        self.0.prepare_cached(sql).await
    }
}
