//! The vocabulary of the event log: stream names, events (`proto/*.proto`), the envelope around
//! each of them, upcasters for old versions and the migrations of the log's own tables. It knows
//! nobody who uses it.
pub mod envelope;
pub mod events;
pub mod migrate;
mod shown;
pub mod stream;
pub mod time;
pub mod upcast;

pub use envelope::{EventId, Meta, Recorded};
pub use events::Event;
pub use stream::{Category, StreamId};

/// What can go wrong when stored bytes are read back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not an envelope of ours.
    #[error("event {position}: {source}")]
    Decode {
        /// Position of the row.
        position: i64,
        /// What the decoder said.
        source: prost::DecodeError,
    },
    /// The envelope decodes but holds no event this version knows.
    #[error("event {position}: unknown type {type_no}")]
    UnknownType {
        /// Position of the row.
        position: i64,
        /// Stored type number.
        type_no: i16,
    },
    /// A stream row names a category this version does not know.
    #[error("unknown stream category {0}")]
    UnknownCategory(i16),
}
