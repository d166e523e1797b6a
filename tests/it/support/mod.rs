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

use stratalog::{commands::executions, context::Context, db::Database, log::Append, store};
use stratalog_schema::Meta;

/// A database of this version's tables and empty views.
pub(crate) async fn empty_database() -> database::TestDatabase {
    database::TestDatabase::new(async |url: &str| store::prepare(&Database::new(url, 1)?).await)
        .await
}

/// A new token of an execution that nobody runs.
pub(crate) async fn execution_token(ctx: &Context, tenant: &str, id: &str) -> String {
    let (token, issued) = executions::issue_token(ctx, tenant, id);
    let append = Append {
        meta: Meta::system(),
        events: vec![issued],
        ..Append::default()
    };
    ctx.store.append(append).await.unwrap();
    token
}
