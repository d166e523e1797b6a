//! What the writer knows of streams: their numbers and latest versions. Exact as long as the
//! process saw the whole log, which the head check of every append guarantees; forgotten whenever
//! that check fails.
use std::collections::HashMap;

use stratalog_schema::StreamId;
use tokio_postgres::{Client, Statement};

use crate::error::Error;

/// Streams remembered; beyond that all are forgotten and asked for again.
const REMEMBERED: usize = 200_000;

/// One stream's number and latest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) stream_no: i64,
    pub(super) version: i64,
    /// Whether the stream has a row in the database.
    pub(super) exists: bool,
}

/// The heads of the streams used lately.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: HashMap<StreamId, Head>,
    last_stream_no: i64,
}

impl Heads {
    /// Forgets everything and learns the highest stream number.
    pub(super) async fn reload(&mut self, client: &Client) -> Result<(), Error> {
        self.known.clear();
        let row = client
            .query_one("SELECT coalesce(max(stream_no), 0) FROM es.stream", &[])
            .await?;
        self.last_stream_no = row.try_get(0)?;
        Ok(())
    }

    /// Makes sure that the heads of these streams are known; unknown streams get a number.
    pub(super) async fn learn(
        &mut self,
        (client, look_up): (&Client, &Statement),
        streams: impl Iterator<Item = &StreamId>,
    ) -> Result<(), Error> {
        if self.known.len() > REMEMBERED {
            self.known.clear();
            self.reload(client).await?;
        }
        let mut unknown: Vec<&StreamId> = streams
            .filter(|stream| !self.known.contains_key(stream))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let categories: Vec<i16> = unknown.iter().map(|s| s.category.number()).collect();
        let keys: Vec<&str> = unknown.iter().map(|s| s.key.as_str()).collect();
        let rows = client.query(look_up, &[&categories, &keys]).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in rows {
            let id: (i16, String) = (row.try_get(0)?, row.try_get(1)?);
            let version: Option<i64> = row.try_get(3)?;
            let head = Head {
                stream_no: row.try_get(2)?,
                version: version.unwrap_or(0),
                exists: true,
            };
            found.insert(id, head);
        }
        for stream in unknown {
            let id = (stream.category.number(), stream.key.clone());
            let head = found.remove(&id).unwrap_or_else(|| {
                self.last_stream_no += 1;
                Head {
                    stream_no: self.last_stream_no,
                    version: 0,
                    exists: false,
                }
            });
            self.known.insert(stream.clone(), head);
        }
        Ok(())
    }

    /// The head of a stream that was learned.
    pub(super) fn get(&self, stream: &StreamId) -> Head {
        self.known.get(stream).copied().unwrap_or(Head {
            stream_no: 0,
            version: 0,
            exists: false,
        })
    }

    /// Notes a stream's new head.
    pub(super) fn set(&mut self, stream: &StreamId, head: Head) {
        self.known.insert(stream.clone(), head);
    }
}
