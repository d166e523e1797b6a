//! What verification reads: batches a page at a time, with every event and segment up to their end.
use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    error::Error,
    log::chain::{Hash, ModelLeaf},
};

/// Batches read at a time; the writer puts some thousand events into one at most.
const PAGE_BATCHES: i64 = 64;

const BATCHES: &str = "\
SELECT first_position, n, recorded_at, root, chain FROM es.spine \
WHERE first_position > $1 ORDER BY first_position LIMIT $2";

const EVENTS: &str = "\
SELECT position, stream_no, version, recorded_at, event_id, type_no, data FROM es.log \
WHERE position > $1 AND position <= $2 ORDER BY position";

const SEGMENTS: &str = "\
SELECT first_position, n, body FROM es.segment \
WHERE first_position > $1 AND first_position <= $2 ORDER BY first_position";

const STRAY: &str = "\
SELECT min(position) FROM (\
  SELECT position FROM es.log WHERE position < 1 OR position > $1 \
  UNION ALL \
  SELECT first_position FROM es.segment WHERE first_position < 1 OR first_position > $1\
) AS stray(position)";

const UNNAMED: &str = "\
SELECT l.position, l.stream_no FROM es.log l \
WHERE l.version = 1 AND NOT EXISTS (SELECT 1 FROM es.stream s WHERE s.stream_no = l.stream_no) \
ORDER BY l.position LIMIT 1";

/// A row of the spine.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) first_position: i64,
    pub(super) n: i32,
    pub(super) recorded_at: DateTime<Utc>,
    pub(super) root: Vec<u8>,
    pub(super) chain: Vec<u8>,
}

/// A row of the model lane.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) position: i64,
    pub(super) stream_no: i64,
    pub(super) version: i64,
    pub(super) recorded_at: DateTime<Utc>,
    event_id: Uuid,
    type_no: i16,
    data: Vec<u8>,
}

impl Event {
    pub(super) fn leaf(&self) -> Hash {
        ModelLeaf {
            position: self.position,
            stream_no: self.stream_no,
            version: self.version,
            recorded_at: self.recorded_at,
            type_no: self.type_no,
            event_id: self.event_id,
            data: &self.data,
        }
        .hash()
    }
}

/// A row of the telemetry lane.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first_position: i64,
    pub(super) n: i32,
    pub(super) body: Vec<u8>,
}

/// Some batches and all that is stored at their positions.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) batches: Vec<Batch>,
    pub(super) events: Vec<Event>,
    pub(super) segments: Vec<Segment>,
}

impl Page {
    /// The batches after the one that starts at `last_first` and ends at `verified`.
    pub(super) async fn read(
        client: &impl GenericClient,
        last_first: i64,
        verified: i64,
    ) -> Result<Self, Error> {
        let batches = client.query(BATCHES, &[&last_first, &PAGE_BATCHES]).await?;
        let batches = batches
            .iter()
            .map(|row| {
                Ok(Batch {
                    first_position: row.try_get(0)?,
                    n: row.try_get(1)?,
                    recorded_at: row.try_get(2)?,
                    root: row.try_get(3)?,
                    chain: row.try_get(4)?,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let end = |b: &Batch| b.first_position.saturating_add(i64::from(b.n) - 1);
        let upto = batches.iter().map(end).max().unwrap_or(verified);
        let events = events(client, verified, upto).await?;
        let segments = client.query(SEGMENTS, &[&verified, &upto]).await?;
        let segments = segments
            .iter()
            .map(|row| {
                Ok(Segment {
                    first_position: row.try_get(0)?,
                    n: row.try_get(1)?,
                    body: row.try_get(2)?,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self {
            batches,
            events,
            segments,
        })
    }
}

async fn events(client: &impl GenericClient, after: i64, upto: i64) -> Result<Vec<Event>, Error> {
    let rows = client.query(EVENTS, &[&after, &upto]).await?;
    rows.iter()
        .map(|row| {
            Ok(Event {
                position: row.try_get(0)?,
                stream_no: row.try_get(1)?,
                version: row.try_get(2)?,
                recorded_at: row.try_get(3)?,
                event_id: row.try_get(4)?,
                type_no: row.try_get(5)?,
                data: row.try_get(6)?,
            })
        })
        .collect()
}

/// The first position outside of 1 to `head` that has something.
pub(super) async fn stray(client: &impl GenericClient, head: i64) -> Result<Option<i64>, Error> {
    let row = client.query_one(STRAY, &[&head]).await?;
    Ok(row.try_get(0)?)
}

/// The first event whose stream has no name, with the stream's number.
pub(super) async fn unnamed_stream(
    client: &impl GenericClient,
) -> Result<Option<(i64, i64)>, Error> {
    let Some(row) = client.query_opt(UNNAMED, &[]).await? else {
        return Ok(None);
    };
    Ok(Some((row.try_get(0)?, row.try_get(1)?)))
}
