//! What verification may find, and where.
use super::rows::{Batch, Segment};

/// What is wrong at a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The spine has no batch here, but a later one.
    #[error("no batch holds this position; the next one starts at {next}")]
    MissingBatch {
        /// Where the next batch starts.
        next: i64,
    },
    /// Two batches claim the position.
    #[error("a batch starts here, inside the one before it")]
    OverlappingBatch,
    /// A batch is older than the one before it.
    #[error("the batch is older than the one before it")]
    TimeGoesBack,
    /// The batch covers the position, but no event and no record is there.
    #[error("the event is missing")]
    MissingEvent,
    /// There is an event or a segment where the spine has none.
    #[error("there is an event outside of every batch")]
    StrayEvent,
    /// Several events, or an event and a segment, share the position.
    #[error("the position is taken twice")]
    Doubled,
    /// The event says another time than its batch.
    #[error("the time of the event differs from that of its batch")]
    EventTime,
    /// The stream's versions have a gap or a repetition.
    #[error("version {found} of stream {stream_no} follows version {before}")]
    StreamVersion {
        /// The stream.
        stream_no: i64,
        /// Version of the stream's event before.
        before: i64,
        /// Version of this event.
        found: i64,
    },
    /// The event's stream has no name.
    #[error("stream {stream_no} is unknown")]
    UnknownStream {
        /// The stream.
        stream_no: i64,
    },
    /// An entry names a stream that has no events.
    #[error("stream {stream_no} has a name but no events")]
    StrayStream {
        /// The stream.
        stream_no: i64,
    },
    /// The stored bytes are no event of this or an older version.
    #[error("the event cannot be read: {0}")]
    Unreadable(String),
    /// A segment cannot be unpacked, or holds another number of records than it says.
    #[error("the telemetry segment is damaged: {0}")]
    Segment(String),
    /// What is stored beside a segment's body does not follow from its records.
    #[error("the {0} beside the telemetry segment do not follow from its records")]
    SegmentIndex(&'static str),
    /// A reference leads to no segment.
    #[error("a reference leads to a telemetry segment that does not exist")]
    StrayReference,
    /// A command's entry does not lie within one batch of its time.
    #[error("a command claims positions that no batch of its time has")]
    Command,
    /// The stored bytes of some event of the batch, or the name of a stream that begins in it, are
    /// not what was appended.
    #[error("an event of this batch, or the name of its stream, was changed: the root differs")]
    Root,
    /// The spine row is not what was appended, or a batch before it was replaced.
    #[error("the batch does not follow from the one before it: its chain value differs")]
    Chain,
    /// A file of the resource directory is not in the blob store.
    #[error("the content of file {path} ({digest}) is missing")]
    FileMissing {
        /// The file.
        path: String,
        /// SHA-256 of its content.
        digest: String,
    },
    /// Stored content is not what its digest says.
    #[error("the content of file {path} was changed: its digest is not {digest}")]
    FileChanged {
        /// The file.
        path: String,
        /// SHA-256 that it was stored under.
        digest: String,
    },
    /// The log ends before the checkpoint.
    #[error("the log ends before position {checkpoint}, which had been verified earlier")]
    Cut {
        /// Position of the checkpoint.
        checkpoint: i64,
    },
    /// The log is consistent, but not the one of the checkpoint.
    #[error("the log was written anew: the chain value differs from the one verified earlier")]
    Rewritten,
}

/// The first place where the log is not what was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The first position it concerns; 0 for what belongs to none.
    pub position: i64,
    /// The last position it may concern: a root tells the batch, not the event.
    pub upto: i64,
    /// What is wrong.
    pub reason: Reason,
}

pub(super) fn at(position: i64, reason: Reason) -> Fault {
    Fault {
        position,
        upto: position,
        reason,
    }
}

pub(super) fn within(batch: &Batch, reason: Reason) -> Fault {
    Fault {
        position: batch.first_position,
        upto: batch.first_position + i64::from(batch.n) - 1,
        reason,
    }
}

pub(super) fn over(segment: &Segment, reason: Reason) -> Fault {
    Fault {
        position: segment.first_position,
        upto: segment.first_position + i64::from(segment.n) - 1,
        reason,
    }
}
