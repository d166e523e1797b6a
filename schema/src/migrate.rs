//! Migrations of the log's own tables. Views have none: they are rebuilt.
use tokio_postgres::Client;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Key of the advisory lock that keeps two processes from migrating at once (refinery has none of
/// its own).
const MIGRATION_LOCK: i64 = 0x5354_5241_0001;

/// Why a migration did not happen.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database refused or went away.
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// A migration failed or has diverged.
    #[error("migration: {0}")]
    Migration(#[from] refinery::Error),
}

/// The SQL of all migrations, in order: for tables that are made anew beside the old ones.
pub fn sql() -> Vec<String> {
    let mut migrations = embedded::migrations::runner().get_migrations().clone();
    migrations.sort_by_key(refinery::Migration::version);
    let texts = migrations.iter().filter_map(refinery::Migration::sql);
    texts.map(str::to_owned).collect()
}

/// Brings the database to this version's tables; doing it twice changes nothing.
///
/// # Errors
/// What refinery or the database says.
pub async fn migrate(client: &mut Client) -> Result<(), MigrateError> {
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await?;
    let outcome = embedded::migrations::runner().run_async(client).await;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK])
        .await?;
    outcome?;
    Ok(())
}
