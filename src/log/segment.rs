//! Telemetry segments: one compressed row per batch, with what it takes to find it again.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prost::Message as _;
use stratalog_schema::events::TelemetryRecord;

use super::chain::{Hash, telemetry_leaf};
use crate::error::Error;

/// zstd level: 1 keeps the writer fast, 3 gains few per cent.
const LEVEL: i32 = 1;

/// A batch's telemetry, ready to be stored.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first_position: i64,
    pub(super) n: i32,
    pub(super) t_min: DateTime<Utc>,
    pub(super) t_max: DateTime<Utc>,
    pub(super) reported_min: DateTime<Utc>,
    pub(super) reported_max: DateTime<Utc>,
    pub(super) body: Vec<u8>,
    pub(super) refs: References,
    pub(super) leaves: Vec<Hash>,
}

/// What a segment holds of one execution (or execution group).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) tenant: String,
    pub(super) visibility: String,
    pub(super) deployment_id: String,
    pub(super) blueprint_id: String,
    pub(super) events: i32,
    pub(super) logs: i32,
}

/// References by execution and execution group.
pub(super) type References = BTreeMap<(String, String), Reference>;

/// What is stored beside a segment's body; all of it follows from the records.
#[derive(Debug)]
pub(super) struct Index {
    t_min: DateTime<Utc>,
    t_max: DateTime<Utc>,
    reported_min: DateTime<Utc>,
    reported_max: DateTime<Utc>,
    pub(super) refs: References,
}

impl Index {
    /// Bounds of the times, then of the reported ones.
    pub(super) fn times(&self) -> [DateTime<Utc>; 4] {
        [self.t_min, self.t_max, self.reported_min, self.reported_max]
    }
}

fn moment(at_us: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at_us).unwrap_or_default()
}

/// What lies beside the body of these records; `None` when there are none.
pub(super) fn index(records: &[TelemetryRecord]) -> Option<Index> {
    let first = records.first()?;
    let mut refs = References::new();
    let (mut t_min, mut t_max) = (first.timestamp_us, first.timestamp_us);
    let (mut reported_min, mut reported_max) =
        (first.reported_timestamp_us, first.reported_timestamp_us);
    for record in records {
        t_min = t_min.min(record.timestamp_us);
        t_max = t_max.max(record.timestamp_us);
        reported_min = reported_min.min(record.reported_timestamp_us);
        reported_max = reported_max.max(record.reported_timestamp_us);
        let id = (
            record.execution_id.clone(),
            record.execution_group_id.clone(),
        );
        let reference = refs.entry(id).or_insert_with(|| Reference {
            tenant: record.tenant.clone(),
            visibility: record.visibility.clone(),
            deployment_id: record.deployment_id.clone(),
            blueprint_id: record.blueprint_id.clone(),
            events: 0,
            logs: 0,
        });
        if record.is_log {
            reference.logs += 1;
        } else {
            reference.events += 1;
        }
    }
    Some(Index {
        t_min: moment(t_min),
        t_max: moment(t_max),
        reported_min: moment(reported_min),
        reported_max: moment(reported_max),
        refs,
    })
}

/// Encodes records that start at a position; `None` when there are none.
pub(super) fn encode(
    first_position: i64,
    records: &[TelemetryRecord],
) -> Result<Option<Segment>, Error> {
    let Some(index) = index(records) else {
        return Ok(None);
    };
    let mut plain = Vec::with_capacity(records.len() * 256);
    let mut leaves = Vec::with_capacity(records.len());
    for (position, record) in (first_position..).zip(records) {
        let data = record.encode_to_vec();
        leaves.push(telemetry_leaf(position, &data));
        prost::encoding::encode_varint(data.len() as u64, &mut plain);
        plain.extend_from_slice(&data);
    }
    let body = zstd::bulk::compress(&plain, LEVEL).map_err(Error::internal)?;
    Ok(Some(Segment {
        first_position,
        n: i32::try_from(records.len()).map_err(Error::internal)?,
        t_min: index.t_min,
        t_max: index.t_max,
        reported_min: index.reported_min,
        reported_max: index.reported_max,
        body,
        refs: index.refs,
        leaves,
    }))
}

/// Most bytes a stored segment may unpack to.
const PLAIN_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a stored segment holds, unpacked: the encoded records are `records` of it.
///
/// # Errors
/// `Internal` when the stored bytes are damaged.
pub(crate) fn plain(body: &[u8]) -> Result<Vec<u8>, Error> {
    zstd::bulk::decompress(body, plain_size(body)).map_err(Error::internal)
}

/// The encoded records of an unpacked segment, in order of position. Ends after the first that is
/// damaged.
pub(crate) fn records(plain: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    let mut rest = plain;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = next_record(&mut rest);
        if record.is_err() {
            rest = &[];
        }
        Some(record)
    })
}

fn next_record<'p>(rest: &mut &'p [u8]) -> Result<&'p [u8], Error> {
    let length = prost::encoding::decode_varint(rest).map_err(Error::internal)?;
    let length = usize::try_from(length).map_err(Error::internal)?;
    let Some((data, after)) = rest.split_at_checked(length) else {
        return Err(Error::internal(anyhow::anyhow!("a segment is cut short")));
    };
    *rest = after;
    Ok(data)
}

fn plain_size(body: &[u8]) -> usize {
    zstd::bulk::Decompressor::upper_bound(body)
        .unwrap_or(PLAIN_BYTES_MAX)
        .min(PLAIN_BYTES_MAX)
}

/// The records of a stored segment, in order of position.
///
/// # Errors
/// `Internal` when the stored bytes are damaged.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<TelemetryRecord>, Error> {
    records(&plain(body)?)
        .map(|data| TelemetryRecord::decode(data?).map_err(Error::internal))
        .collect()
}
