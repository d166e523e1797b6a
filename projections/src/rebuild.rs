//! Rebuilding views from the log beside the live ones, and proving that both agree.
//!
//! The log is folded in memory and written in bulk up to a position, without any lock: others
//! append and the live views stay in use. What came meanwhile is folded after it, again and again,
//! until little is left; only that and the swap happen under the log's advisory lock.
use std::collections::BTreeMap;

use stratalog_schema::{Category, Recorded, StreamId, envelope};
use tokio_postgres::{Client, GenericClient};

use crate::{
    Error,
    digest::digest,
    fold,
    inline::{Applier, Batch},
    rows::{Change, Rows},
    tables::{self, CREATE_STATE, LIVE, create_indexes, create_table},
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
    /// Digest of the live view; `None` when it is missing.
    pub live: Option<String>,
    /// Digest of the rebuilt one.
    pub rebuilt: String,
}

impl Compared {
    /// Whether both are the same.
    pub fn agrees(&self) -> bool {
        self.live.as_ref() == Some(&self.rebuilt)
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

/// Views being rebuilt beside the live ones, as far as that has come.
#[derive(Debug)]
pub struct Rebuild {
    rows: Rows,
    // versions that are still current stay in memory until they end, or until all is settled
    open: BTreeMap<(View, String), Change>,
    position: i64,
}

impl Rebuild {
    /// Starts with empty tables; what an earlier rebuild left behind goes away.
    ///
    /// # Errors
    /// Database errors.
    pub async fn begin(client: &impl GenericClient) -> Result<Self, Error> {
        client.batch_execute(CREATE_STATE).await?;
        client
            .batch_execute(&format!(
                "DROP SCHEMA IF EXISTS {BESIDE} CASCADE; CREATE SCHEMA {BESIDE}"
            ))
            .await?;
        for view in View::ALL {
            client.batch_execute(&create_table(BESIDE, view)).await?;
        }
        Ok(Self {
            rows: Rows::default(),
            open: BTreeMap::new(),
            position: 0,
        })
    }

    /// The position up to which the log was folded.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Folds up to a position and writes the versions that have ended. `progress` hears the
    /// position reached.
    ///
    /// # Errors
    /// Database errors, or events that do not fold.
    pub async fn fold_upto(
        &mut self,
        client: &impl GenericClient,
        upto: i64,
        progress: &(dyn Fn(i64) + Sync),
    ) -> Result<(), Error> {
        while self.fold_page(client, upto).await? {
            let mut ended = Vec::new();
            for change in self.rows.take_changes() {
                let end = change.position;
                let id = (change.view, change.key.clone());
                if let Some(earlier) = self.open.insert(id, change) {
                    ended.push((earlier, end));
                }
            }
            insert(client, ended).await?;
            progress(self.position);
        }
        Ok(())
    }

    /// Writes what is current and builds the indexes. From then on only
    /// [`Rebuild::catch_up`] goes further.
    ///
    /// # Errors
    /// Database errors.
    pub async fn settle(&mut self, client: &impl GenericClient) -> Result<(), Error> {
        let open = std::mem::take(&mut self.open).into_values();
        insert(client, open.map(|last| (last, FOREVER)).collect()).await?;
        for view in View::ALL {
            client.batch_execute(&create_indexes(BESIDE, view)).await?;
        }
        Ok(())
    }

    /// Folds what was appended after the settled position, as one transaction a page.
    ///
    /// # Errors
    /// Database errors, or events that do not fold. The rebuild is of no use then.
    pub async fn catch_up(&mut self, client: &Client, upto: i64) -> Result<(), Error> {
        if self.position >= upto {
            return Ok(());
        }
        let applier = Applier::prepare_in(client, BESIDE).await?;
        while self.fold_page(client, upto).await? {
            client.batch_execute("BEGIN").await?;
            applier.write(client, self.rows.take_changes()).await?;
            client.batch_execute("COMMIT").await?;
        }
        Ok(())
    }

    /// Folds the next page; false when there is none up to `upto`.
    async fn fold_page(&mut self, client: &impl GenericClient, upto: i64) -> Result<bool, Error> {
        let page = read_page(client, self.position, upto, PAGE_EVENTS).await?;
        let Some(last) = page.last() else {
            self.position = self.position.max(upto);
            return Ok(false);
        };
        self.position = last.position;
        for event in &page {
            fold(event, &mut self.rows)?;
        }
        Ok(true)
    }
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
    let mut rebuild = Rebuild::begin(client).await?;
    rebuild.fold_upto(client, upto, progress).await?;
    rebuild.settle(client).await
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
        let found = client
            .query_one(
                "SELECT to_regclass($1) IS NOT NULL",
                &[&format!("{LIVE}.{}", view.name())],
            )
            .await?;
        let live = match found.try_get(0)? {
            true => Some(digest(client, LIVE, view).await?),
            false => None,
        };
        compared.push(Compared {
            view,
            live,
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
                &[&name, &tables::version(view), &built_from],
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
