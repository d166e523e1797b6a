//! What verification reads: batches a page at a time, with every event and segment up to their end.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    error::Error,
    log::{
        chain::{Hash, ModelLeaf},
        segment::{Reference, References},
    },
};

/// Batches read at a time; the writer puts some thousand events into one at most.
const PAGE_BATCHES: i64 = 64;

const BATCHES: &str = "\
SELECT first_position, n, recorded_at, root, chain FROM es.spine \
WHERE first_position > $1 ORDER BY first_position LIMIT $2";

const EVENTS: &str = "\
SELECT l.position, l.stream_no, l.version, l.recorded_at, l.event_id, l.type_no, l.data, \
  s.category, s.key \
FROM es.log l LEFT JOIN es.stream s ON s.stream_no = l.stream_no AND l.version = 1 \
WHERE l.position > $1 AND l.position <= $2 ORDER BY l.position";

const SEGMENTS: &str = "\
SELECT first_position, n, body, t_min, t_max, reported_min, reported_max FROM es.segment \
WHERE first_position > $1 AND first_position <= $2 ORDER BY first_position";

const REFERENCES: &str = "\
SELECT first_position, execution_id, execution_group_id, tenant, visibility, deployment_id, \
  blueprint_id, events, logs \
FROM es.segment_ref WHERE first_position > $1 AND first_position <= $2";

const STRAY: &str = "\
SELECT min(position) FROM (\
  SELECT position FROM es.log WHERE position < 1 OR position > $1 \
  UNION ALL \
  SELECT first_position FROM es.segment WHERE first_position < 1 OR first_position > $1\
) AS stray(position)";

const STRAY_REFERENCE: &str = "\
SELECT min(r.first_position) FROM es.segment_ref r \
WHERE NOT EXISTS (SELECT 1 FROM es.segment s WHERE s.first_position = r.first_position)";

const STRAY_COMMAND: &str = "\
SELECT min(c.first_position) FROM es.command c \
WHERE c.n < 0 OR NOT EXISTS (\
  SELECT 1 FROM es.spine s WHERE s.recorded_at = c.recorded_at \
    AND c.first_position >= s.first_position \
    AND c.first_position + c.n <= s.first_position + s.n)";

const STRAY_STREAM: &str = "\
SELECT min(s.stream_no) FROM es.stream s \
WHERE NOT EXISTS (SELECT 1 FROM es.log l WHERE l.stream_no = s.stream_no AND l.version = 1)";

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
    pub(super) type_no: i16,
    pub(super) data: Vec<u8>,
    event_id: Uuid,
    /// Category and key; of the first event of a stream only.
    stream: Option<(i16, String)>,
}

impl Event {
    /// Its hash; `None` when it begins a stream that has no name.
    pub(super) fn leaf(&self) -> Option<Hash> {
        let stream = match &self.stream {
            Some((category, key)) => (*category, key.as_str()),
            None if self.version == 1 => return None,
            None => (0, ""),
        };
        let leaf = ModelLeaf {
            position: self.position,
            stream_no: self.stream_no,
            version: self.version,
            recorded_at: self.recorded_at,
            type_no: self.type_no,
            event_id: self.event_id,
            data: &self.data,
            stream,
        };
        Some(leaf.hash())
    }
}

/// A row of the telemetry lane.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first_position: i64,
    pub(super) n: i32,
    pub(super) body: Vec<u8>,
    pub(super) times: [DateTime<Utc>; 4],
    pub(super) refs: References,
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
        let segments = segments(client, verified, upto).await?;
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
            let (category, key): (Option<i16>, Option<String>) = (row.try_get(7)?, row.try_get(8)?);
            Ok(Event {
                position: row.try_get(0)?,
                stream_no: row.try_get(1)?,
                version: row.try_get(2)?,
                recorded_at: row.try_get(3)?,
                event_id: row.try_get(4)?,
                type_no: row.try_get(5)?,
                data: row.try_get(6)?,
                stream: category.zip(key),
            })
        })
        .collect()
}

async fn segments(
    client: &impl GenericClient,
    after: i64,
    upto: i64,
) -> Result<Vec<Segment>, Error> {
    let mut refs: HashMap<i64, References> = HashMap::new();
    for row in client.query(REFERENCES, &[&after, &upto]).await? {
        let reference = Reference {
            tenant: row.try_get(3)?,
            visibility: row.try_get(4)?,
            deployment_id: row.try_get(5)?,
            blueprint_id: row.try_get(6)?,
            events: row.try_get(7)?,
            logs: row.try_get(8)?,
        };
        let id = (row.try_get(1)?, row.try_get(2)?);
        refs.entry(row.try_get(0)?)
            .or_default()
            .insert(id, reference);
    }
    let rows = client.query(SEGMENTS, &[&after, &upto]).await?;
    rows.iter()
        .map(|row| {
            let first_position = row.try_get(0)?;
            Ok(Segment {
                first_position,
                n: row.try_get(1)?,
                body: row.try_get(2)?,
                times: [
                    row.try_get(3)?,
                    row.try_get(4)?,
                    row.try_get(5)?,
                    row.try_get(6)?,
                ],
                refs: refs.remove(&first_position).unwrap_or_default(),
            })
        })
        .collect()
}

/// The first position outside of 1 to `head` that has something.
pub(super) async fn stray(client: &impl GenericClient, head: i64) -> Result<Option<i64>, Error> {
    let row = client.query_one(STRAY, &[&head]).await?;
    Ok(row.try_get(0)?)
}

/// The first position that a reference names though no segment starts there.
pub(super) async fn stray_reference(client: &impl GenericClient) -> Result<Option<i64>, Error> {
    let row = client.query_one(STRAY_REFERENCE, &[]).await?;
    Ok(row.try_get(0)?)
}

/// The first position that a command claims and cannot have.
pub(super) async fn stray_command(client: &impl GenericClient) -> Result<Option<i64>, Error> {
    let row = client.query_one(STRAY_COMMAND, &[]).await?;
    Ok(row.try_get(0)?)
}

/// The first stream that has a name and no events.
pub(super) async fn stray_stream(client: &impl GenericClient) -> Result<Option<i64>, Error> {
    let row = client.query_one(STRAY_STREAM, &[]).await?;
    Ok(row.try_get(0)?)
}
