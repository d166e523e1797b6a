//! Rebuilding views from the log beside the live ones, and proving that both agree.
//!
//! The whole log is folded in memory and written in bulk; while others append, the live views stay
//! in use. The swap happens under the log's advisory lock, after the tail was folded too.
use std::collections::BTreeMap;

use stratalog_schema::{Category, Recorded, StreamId, envelope};
use tokio_postgres::{Client, GenericClient};

use crate::{
    Error,
    digest::digest,
    fold,
    inline::Batch,
    rows::{Change, Rows},
    tables::{LIVE, create_indexes, create_table},
    view::{FOREVER, View},
};

/// Events read from the log at a time.
const PAGE_EVENTS: i64 = 10_000;

/// Schema in which views are rebuilt.
pub const BESIDE: &str = "view_rebuild";

const READ_PAGE: &str = "\
SELECT l.position, s.category, s.key, l.version, l.recorded_at, l.event_id, l.type_no, l.data \
FROM es.log l \
JOIN es.stream s ON s.stream_no = l.stream_no \
WHERE l.position > $1 AND l.position <= $2 \
ORDER BY l.position \
LIMIT $3";

/// What a comparison of live and rebuilt views found.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The view.
    pub view: View,
    /// Digest of the live view.
    pub live: String,
    /// Digest of the rebuilt one.
    pub rebuilt: String,
}

impl Compared {
    /// Whether both are the same.
    pub fn agrees(&self) -> bool {
        self.live == self.rebuilt
    }
}

/// Reads model events after `after` up to `upto`, at most `limit` of them.
///
/// # Errors
/// Database errors, or events this version cannot read.
pub async fn read_page(
    client: &impl GenericClient,
    after: i64,
    upto: i64,
    limit: i64,
) -> Result<Vec<Recorded>, Error> {
    let rows = client.query(READ_PAGE, &[&after, &upto, &limit]).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in rows {
        let position: i64 = row.try_get(0)?;
        let (meta, event) = envelope::decode(position, row.try_get(6)?, row.try_get(7)?)?;
        let stream = StreamId {
            category: Category::from_number(row.try_get(1)?)?,
            key: row.try_get(2)?,
        };
        events.push(Recorded {
            position,
            stream,
            version: row.try_get(3)?,
            recorded_at: row.try_get(4)?,
            event_id: row.try_get(5)?,
            meta,
            event,
        });
    }
    Ok(events)
}

/// The log's head.
///
/// # Errors
/// Database errors.
pub async fn head(client: &impl GenericClient) -> Result<i64, Error> {
    let row = client
        .query_opt(
            "SELECT first_position + n - 1 FROM es.spine ORDER BY first_position DESC LIMIT 1",
            &[],
        )
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get(0))?)
}

/// Folds the log from the start up to `upto` into fresh tables beside the live ones.
///
/// `progress` hears the position reached.
///
/// # Errors
/// Database errors, or events that do not fold.
pub async fn build_beside(
    client: &impl GenericClient,
    upto: i64,
    progress: &(dyn Fn(i64) + Sync),
) -> Result<(), Error> {
    client
        .batch_execute(&format!(
            "DROP SCHEMA IF EXISTS {BESIDE} CASCADE; CREATE SCHEMA {BESIDE}"
        ))
        .await?;
    for view in View::ALL {
        client.batch_execute(&create_table(BESIDE, view)).await?;
    }
    let mut rows = Rows::default();
    let mut after = 0;
    // versions that are still current stay in memory until they end
    let mut open = BTreeMap::new();
    loop {
        let page = read_page(client, after, upto, PAGE_EVENTS).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for event in &page {
            fold(event, &mut rows)?;
        }
        let mut ended = Vec::new();
        for change in rows.take_changes() {
            let end = change.position;
            let id = (change.view, change.key.clone());
            if let Some(earlier) = open.insert(id, change) {
                ended.push((earlier, end));
            }
        }
        insert(client, ended).await?;
        progress(after);
    }
    insert(
        client,
        open.into_values().map(|last| (last, FOREVER)).collect(),
    )
    .await?;
    for view in View::ALL {
        client.batch_execute(&create_indexes(BESIDE, view)).await?;
    }
    progress(upto);
    Ok(())
}

/// Writes row versions with their ends, some thousand at a time.
async fn insert(client: &impl GenericClient, versions: Vec<(Change, i64)>) -> Result<(), Error> {
    for chunk in versions.chunks(5_000) {
        for (view, batch) in Batch::versions(chunk.to_vec()) {
            batch.insert_into(client, BESIDE, view).await?;
        }
    }
    Ok(())
}

/// Digests of live and rebuilt views.
///
/// # Errors
/// Database errors.
pub async fn compare(client: &impl GenericClient) -> Result<Vec<Compared>, Error> {
    let mut compared = Vec::with_capacity(View::ALL.len());
    for view in View::ALL {
        compared.push(Compared {
            view,
            live: digest(client, LIVE, view).await?,
            rebuilt: digest(client, BESIDE, view).await?,
        });
    }
    Ok(compared)
}

/// Puts the rebuilt views in the place of the live ones. To be called in a transaction under the
/// log's lock, with the rebuild complete up to the head.
///
/// # Errors
/// Database errors.
pub async fn swap(client: &impl GenericClient, built_from: i64) -> Result<(), Error> {
    for view in View::ALL {
        let name = view.name();
        client
            .batch_execute(&format!(
                "DROP TABLE IF EXISTS {LIVE}.{name}; ALTER TABLE {BESIDE}.{name} SET SCHEMA {LIVE}"
            ))
            .await?;
        client
            .execute(
                "INSERT INTO view.state (view, version, built_from) VALUES ($1, $2, $3) \
                 ON CONFLICT (view) DO UPDATE SET version = $2, built_from = $3",
                &[&name, &view.def().version, &built_from],
            )
            .await?;
    }
    client
        .batch_execute(&format!("DROP SCHEMA {BESIDE} CASCADE"))
        .await?;
    Ok(())
}

/// Throws the rebuilt views away.
///
/// # Errors
/// Database errors.
pub async fn discard(client: &Client) -> Result<(), Error> {
    client
        .batch_execute(&format!("DROP SCHEMA IF EXISTS {BESIDE} CASCADE"))
        .await?;
    Ok(())
}
