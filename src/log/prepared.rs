//! A batch on its way: events that have their places, and all that is committed with them.
use chrono::{DateTime, Utc};
use stratalog_projections::rows::Change;
use stratalog_schema::Recorded;

use super::{
    chain::{Hash, ModelLeaf},
    segment::Segment,
};

/// An event that has its place.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) stream_no: i64,
    pub(super) type_no: i16,
    pub(super) data: Vec<u8>,
    pub(super) recorded: Recorded,
}

impl Prepared {
    pub(super) fn leaf(&self, recorded_at: DateTime<Utc>) -> Hash {
        ModelLeaf {
            position: self.recorded.position,
            stream_no: self.stream_no,
            version: self.recorded.version,
            recorded_at,
            type_no: self.type_no,
            event_id: self.recorded.event_id,
            data: &self.data,
            stream: (
                self.recorded.stream.category.number(),
                &self.recorded.stream.key,
            ),
        }
        .hash()
    }
}

/// A batch, ready to be committed.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) first_position: i64,
    pub(super) n: i32,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) root: Hash,
    pub(super) chain: Hash,
    pub(super) segment: Option<Segment>,
    pub(super) changes: Vec<Change>,
}
