//! Work straight on the manager's database; the manager may run meanwhile or not.
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use stratalog::db::Database;
use tokio_postgres::Client;

use crate::console::Output;

/// Flags of every command on the database.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The manager's database, as postgres://user:password@host:port/name.
    #[arg(long, env = "STRATALOG_DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

impl Target {
    /// The database, not yet connected.
    pub(crate) fn database(&self) -> anyhow::Result<Database> {
        Database::new(&self.database_url, 1).context("--database-url")
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.database_url).await
    }
}

/// Connects to a manager's database.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let database = Database::new(url, 1).context("--database-url")?;
    let client = database.dedicated().await?;
    let found = client
        .query_one("SELECT to_regclass('es.spine') IS NOT NULL", &[])
        .await?;
    anyhow::ensure!(
        found.get::<_, bool>(0),
        "there is no manager in this database"
    );
    Ok(client)
}

/// Runs a command that waits for the database.
pub(crate) fn block_on(
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
