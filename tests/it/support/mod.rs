//! What integration tests share.

pub(crate) mod agents;
pub(crate) mod archive;
pub(crate) mod broker;
pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod env;
pub(crate) mod manager;
pub(crate) mod processes;
pub(crate) mod server;
pub(crate) mod slapd;
pub(crate) mod sshd;
pub(crate) mod wagon;

use stratalog::{db::Database, store};

/// A database of this version's tables and empty views.
pub(crate) async fn empty_database() -> database::TestDatabase {
    database::TestDatabase::new(async |url: &str| store::prepare(&Database::new(url, 1)?).await)
        .await
}
