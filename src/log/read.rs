//! Reading the log in order, and moments in time as positions.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use stratalog_projections::{Connection, Reader, rebuild};
use stratalog_schema::{Category, Recorded, StreamId};
use tokio_postgres::{Client, GenericClient};

use super::chain::Hash;
use crate::error::Error;

const AT_TIME: &str = "\
SELECT first_position + n - 1 FROM es.spine WHERE recorded_at <= $1 \
ORDER BY recorded_at DESC, first_position DESC LIMIT 1";

const CHAIN_AT: &str = "\
SELECT chain FROM es.spine WHERE first_position <= $1 ORDER BY first_position DESC LIMIT 1";

const BATCH_OF: &str = "\
SELECT first_position FROM es.spine WHERE first_position <= $1 \
ORDER BY first_position DESC LIMIT 1";

const VERSION: &str = "\
SELECT l.version FROM es.stream s JOIN es.log l ON l.stream_no = s.stream_no \
WHERE s.category = $1 AND s.key = $2 ORDER BY l.version DESC LIMIT 1";

const VERSIONS: &str = "\
SELECT s.key, (SELECT max(l.version) FROM es.log l WHERE l.stream_no = s.stream_no) \
FROM es.stream s WHERE s.category = $1 AND s.key = ANY($2)";

/// Model events after a position, at most `limit`, up to `upto`.
///
/// # Errors
/// Database errors, or events of a newer version.
pub async fn page(
    client: &Client,
    after: i64,
    upto: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    Ok(rebuild::read_page(client, after, upto, limit).await?)
}

/// The last position committed at or before a moment; 0 before the first.
///
/// # Errors
/// Database errors.
pub async fn position_at(client: &Client, at: DateTime<Utc>) -> Result<i64, Error> {
    let row = client.query_opt(AT_TIME, &[&at]).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

/// The log's head.
///
/// # Errors
/// Database errors.
pub async fn head(client: &Client) -> Result<i64, Error> {
    Ok(rebuild::head(client).await?)
}

/// Chain value of the batch that holds a position; `None` for an empty log.
///
/// # Errors
/// Database errors.
pub async fn chain_at(client: &impl GenericClient, position: i64) -> Result<Option<Hash>, Error> {
    let row = client.query_opt(CHAIN_AT, &[&position]).await?;
    let Some(row) = row else { return Ok(None) };
    let chain: Vec<u8> = row.try_get(0)?;
    Ok(chain.try_into().ok())
}

/// The last position of the batch before the one that holds a position.
///
/// # Errors
/// Database errors.
pub async fn before_batch_of(client: &Client, position: i64) -> Result<i64, Error> {
    let row = client.query_opt(BATCH_OF, &[&position]).await?;
    let first_position: i64 = row.map_or(Ok(1), |row| row.try_get(0))?;
    Ok(first_position - 1)
}

/// Tells one log from the one that a restore put in its place.
///
/// # Errors
/// Database errors.
pub async fn generation(client: &Client) -> Result<u32, Error> {
    let row = client
        .query_one("SELECT coalesce(to_regclass('es.spine')::oid, 0::oid)", &[])
        .await?;
    Ok(row.try_get(0)?)
}

/// A stream's latest version; 0 when it has no events.
///
/// # Errors
/// Database errors.
pub async fn stream_version<C: Connection>(
    view: &Reader<C>,
    stream: &StreamId,
) -> Result<i64, Error> {
    let rows = view
        .fetch(VERSION, &[&stream.category.number(), &stream.key])
        .await?;
    Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?)
}

/// Latest versions of several streams of a category, by key; streams without events are left out.
///
/// # Errors
/// Database errors.
pub async fn stream_versions<C: Connection>(
    view: &Reader<C>,
    category: Category,
    keys: &[String],
) -> Result<HashMap<String, i64>, Error> {
    let rows = view.fetch(VERSIONS, &[&category.number(), &keys]).await?;
    let mut versions = HashMap::with_capacity(rows.len());
    for row in rows {
        let version: Option<i64> = row.try_get(1)?;
        versions.insert(row.try_get(0)?, version.unwrap_or(0));
    }
    Ok(versions)
}
