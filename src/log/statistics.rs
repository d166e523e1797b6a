//! Keeps what PostgreSQL knows of the tables' sizes near the truth. The writer and the readers keep
//! plans of prepared statements; those made over empty tables read tables as a whole, and are kept
//! until the statistics change. The autovacuum looks once a minute at best, and a minute is enough
//! for a table to grow from nothing to where such plans take seconds.
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{db::Database, error::Error};

/// How often is looked while the log grows.
const LOOK: Duration = Duration::from_secs(1);
/// Tables that are more than twice as large as when they were last looked at; small ones do no
/// harm.
const GROWN: &str = "\
SELECT format('%I.%I', n.nspname, c.relname) \
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname IN ('es', 'view') AND c.relkind = 'r' \
  AND pg_relation_size(c.oid) > 65536 + 2 * 8192 * c.relpages::bigint";

/// Looks after each change until told to stop.
pub(super) async fn run(
    database: Database,
    mut durable: watch::Receiver<i64>,
    stop: CancellationToken,
) {
    let looking = async {
        let mut connection = None;
        while durable.changed().await.is_ok() {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = look(&database, &mut connection).await {
                tracing::debug!(%error, "statistics of tables are brought up to date later");
                connection = None;
            }
        }
    };
    stop.run_until_cancelled(looking).await;
}

async fn look(database: &Database, connection: &mut Option<Client>) -> Result<(), Error> {
    let client = match connection {
        Some(client) => client,
        None => connection.insert(database.dedicated().await?),
    };
    for row in client.query(GROWN, &[]).await? {
        let table: String = row.try_get(0)?;
        client.batch_execute(&format!("ANALYZE {table}")).await?;
    }
    Ok(())
}
