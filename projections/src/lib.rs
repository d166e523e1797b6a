//! Pure consequences of the event log: views whose rows carry the positions between which they were
//! true.
//!
//! `fold` turns one event into row changes over a working set ([`rows::Rows`]); `inline` runs it
//! inside the append transaction; `rebuild` runs the same fold over the whole log; `reader` answers
//! queries, now or as of a position. **Invariant:** nothing here appends events, reads a clock or
//! mints an identity.
pub mod digest;
pub mod fold;
pub mod inline;
mod owned;
mod place;
pub mod query;
pub mod reader;
pub mod rebuild;
pub mod rows;
pub mod sets;
pub mod tables;
pub mod view;
pub mod views;

pub use fold::fold;
pub use place::Place;
pub use query::{Condition, ListQuery, Scope, Sort};
pub use reader::{At, Connection, Listed, Reader, Row as StoredRow};
pub use rows::Rows;
pub use view::{Col, Field, Kind, Owner, Resource, View};

/// What can go wrong between an event and a view.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or went away.
    #[error("database: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// A stored document does not have the shape this version expects: the view must be rebuilt.
    #[error("view {view}, row {key}: {source}")]
    Document {
        /// The view.
        view: &'static str,
        /// The row's key.
        key: String,
        /// What serde said.
        source: serde_json::Error,
    },
    /// An event carries a JSON text that is none.
    #[error("event document: {0}")]
    EventDocument(#[source] serde_json::Error),
    /// An event speaks of a row that does not exist.
    #[error("view {view} has no row {key}")]
    Missing {
        /// The view.
        view: &'static str,
        /// The row's key.
        key: String,
    },
    /// A query names a field the view does not have.
    #[error("no field {0}")]
    UnknownField(String),
    /// A place in a list is none, or one in a list of another order.
    #[error("no place in this list")]
    Place,
    /// Reading the log failed during a rebuild.
    #[error("log: {0}")]
    Log(#[from] stratalog_schema::Error),
}
