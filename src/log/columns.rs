//! A batch turned into columns, as `unnest` takes them.
use std::collections::BTreeSet;

use uuid::Uuid;

use super::{heads::Heads, prepared::Prepared};

/// Columns of the batch's model events.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) positions: Vec<i64>,
    pub(super) stream_nos: Vec<i64>,
    pub(super) versions: Vec<i64>,
    pub(super) event_ids: Vec<Uuid>,
    pub(super) type_nos: Vec<i16>,
    pub(super) data: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(events: &'a [Prepared]) -> Self {
        let mut columns = Self::default();
        for prepared in events {
            columns.positions.push(prepared.recorded.position);
            columns.stream_nos.push(prepared.stream_no);
            columns.versions.push(prepared.recorded.version);
            columns.event_ids.push(prepared.recorded.event_id);
            columns.type_nos.push(prepared.type_no);
            columns.data.push(&prepared.data);
        }
        columns
    }
}

/// Streams the batch begins.
#[derive(Default)]
pub(super) struct NewStreams {
    pub(super) numbers: Vec<i64>,
    pub(super) categories: Vec<i16>,
    pub(super) keys: Vec<String>,
}

impl NewStreams {
    pub(super) fn of(heads: &Heads, events: &[Prepared]) -> Self {
        let mut streams = Self::default();
        let mut noted = BTreeSet::new();
        for prepared in events {
            let stream = &prepared.recorded.stream;
            if !heads.get(stream).exists && noted.insert(prepared.stream_no) {
                streams.numbers.push(prepared.stream_no);
                streams.categories.push(stream.category.number());
                streams.keys.push(stream.key.clone());
            }
        }
        streams
    }
}

/// Commands the batch carries out.
#[derive(Default)]
pub(super) struct Commands {
    pub(super) ids: Vec<Uuid>,
    pub(super) positions: Vec<i64>,
    pub(super) ns: Vec<i32>,
}

impl Commands {
    pub(super) fn of(commands: &[(Uuid, i64, i32)]) -> Self {
        let mut columns = Self::default();
        for (id, position, n) in commands {
            columns.ids.push(*id);
            columns.positions.push(*position);
            columns.ns.push(*n);
        }
        columns
    }
}
