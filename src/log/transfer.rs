//! The log's tables as bytes, and back: for snapshots. The bytes are PostgreSQL's binary copy
//! format of rows in order of their keys, so that equal logs give equal bytes.
//!
//! A log is restored whole, in one transaction under the log's lock: into empty tables, or into new
//! ones that take the place of the present ones. What is in the way is set aside as another schema,
//! so readers go on until the commit, and nothing is ever changed in place.
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, TryStreamExt as _};
use stratalog_schema::migrate;
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::error::{Error, ErrorCode};

/// A copy without rows: signature, flags, extension, end.
const EMPTY_BYTES: usize = 21;

/// Positions beyond the last that get their partition at once.
const PARTITION_AHEAD: i64 = 1_000_000;

/// Positions a restored log may have: each ten millions of them need a table.
const POSITIONS_MAX: i64 = 20_000_000_000;

/// Schema of the log that was replaced, until it is dropped or kept under a name of its own.
const REPLACED: &str = "es_replaced";

/// A table of the log.
#[derive(Debug)]
struct Table {
    name: &'static str,
    columns: &'static str,
    from: &'static str,
    position: &'static str,
    order: &'static str,
}

/// In the order in which they are written. The index is stored: never reorder.
static TABLES: [Table; 6] = [
    Table {
        name: "stream",
        columns: "stream_no, category, key",
        from: "es.stream t JOIN (SELECT stream_no AS no, position FROM es.log WHERE version = 1) l \
               ON l.no = t.stream_no",
        position: "position",
        order: "position",
    },
    Table {
        name: "spine",
        columns: "first_position, n, recorded_at, writer, root, chain",
        from: "es.spine",
        position: "first_position",
        order: "first_position",
    },
    Table {
        name: "log",
        columns: "position, stream_no, version, recorded_at, event_id, type_no, data",
        from: "es.log",
        position: "position",
        order: "position",
    },
    Table {
        name: "segment",
        columns: "first_position, n, t_min, t_max, reported_min, reported_max, body",
        from: "es.segment",
        position: "first_position",
        order: "first_position",
    },
    Table {
        name: "segment_ref",
        columns: "execution_id, first_position, tenant, visibility, deployment_id, blueprint_id, \
                  execution_group_id, events, logs",
        from: "es.segment_ref",
        position: "first_position",
        order: "first_position, execution_id COLLATE \"C\", execution_group_id COLLATE \"C\"",
    },
    Table {
        name: "command",
        columns: "command_id, first_position, n, recorded_at",
        from: "es.command",
        position: "first_position",
        order: "first_position, command_id",
    },
];

/// Number of tables.
pub const TABLE_COUNT: usize = TABLES.len();

/// The rows of a table between two positions, both included; `None` when there are none.
///
/// # Errors
/// Database errors.
pub async fn copy_out(
    client: &Client,
    table: usize,
    from: i64,
    upto: i64,
) -> Result<Option<Bytes>, Error> {
    let (number, table) = numbered(table)?;
    let sql = format!(
        "COPY (SELECT {} FROM {} WHERE {} BETWEEN {from} AND {upto} ORDER BY {}) \
         TO STDOUT (FORMAT binary)",
        table.columns, table.from, table.position, table.order
    );
    let stream = client.copy_out(&sql).await?;
    futures::pin_mut!(stream);
    let mut bytes = BytesMut::from([number].as_slice());
    while let Some(part) = stream.try_next().await? {
        bytes.extend_from_slice(&part);
    }
    Ok((bytes.len() > EMPTY_BYTES + 1).then(|| bytes.freeze()))
}

/// Writes rows that [`copy_out`] read. Returns how many.
///
/// # Errors
/// Database errors; `Internal` when the bytes name no table.
pub async fn copy_in(transaction: &Transaction<'_>, bytes: Bytes) -> Result<u64, Error> {
    let number = bytes.first().copied().unwrap_or(u8::MAX);
    let (_, table) = numbered(usize::from(number))?;
    let sql = format!(
        "COPY es.{} ({}) FROM STDIN (FORMAT binary)",
        table.name, table.columns
    );
    let sink = transaction.copy_in(&sql).await?;
    futures::pin_mut!(sink);
    sink.send(bytes.slice(1..)).await?;
    Ok(sink.finish().await?)
}

/// Nobody else appends until the transaction ends.
///
/// # Errors
/// Database errors.
pub async fn lock(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&super::LOG_LOCK])
        .await?;
    Ok(())
}

/// Refuses a log that holds anything.
///
/// # Errors
/// 400; database errors.
pub async fn require_empty(client: &impl GenericClient) -> Result<(), Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM es.spine) OR EXISTS (SELECT 1 FROM es.log)";
    if client.query_one(sql, &[]).await?.try_get(0)? {
        return Err(Error::refused(
            ErrorCode::SnapshotAction,
            "A snapshot can only be restored into an empty log, and this one is not empty",
        ));
    }
    Ok(())
}

/// Makes room for positions up to `upto`.
///
/// # Errors
/// 400 for more than can be; database errors.
pub async fn make_room(transaction: &Transaction<'_>, upto: i64) -> Result<(), Error> {
    if upto > POSITIONS_MAX {
        return Err(Error::refused(
            ErrorCode::SnapshotAction,
            format!("The snapshot says that its log has {upto} positions"),
        ));
    }
    let upto = upto.saturating_add(PARTITION_AHEAD);
    transaction
        .execute("SELECT es.ensure_partitions($1)", &[&upto])
        .await?;
    Ok(())
}

/// Sets the log aside and puts an empty one in its place. Under the log's lock.
///
/// # Errors
/// Database errors.
pub async fn set_aside(transaction: &Transaction<'_>) -> Result<(), Error> {
    let sql =
        format!("DROP SCHEMA IF EXISTS {REPLACED} CASCADE; ALTER SCHEMA es RENAME TO {REPLACED}");
    transaction.batch_execute(&sql).await?;
    for sql in migrate::sql() {
        transaction.batch_execute(&sql).await?;
    }
    Ok(())
}

/// Forgets the log that was set aside. Not in the same transaction: nobody waits for its locks.
///
/// # Errors
/// Database errors.
pub async fn drop_replaced(client: &Client) -> Result<(), Error> {
    let sql = format!("DROP SCHEMA IF EXISTS {REPLACED} CASCADE");
    Ok(client.batch_execute(&sql).await?)
}

/// Keeps the log that was set aside, as a schema that is named after the moment. Gives the name.
///
/// # Errors
/// Database errors.
pub async fn keep_replaced(client: &Client, now_ms: i64) -> Result<String, Error> {
    let name = format!("{REPLACED}_{now_ms}");
    let sql = format!("ALTER SCHEMA {REPLACED} RENAME TO {name}");
    client.batch_execute(&sql).await?;
    Ok(name)
}

/// What is known of a restore whose own first events are still to be appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Where the restored log ends.
    pub position: i64,
    /// Its chain value there.
    pub chain: Vec<u8>,
    /// The snapshot's id; empty when it has none.
    pub snapshot_id: String,
    /// The event that shows the uploaded snapshot, encoded.
    pub snapshot: Option<Vec<u8>>,
    /// The event that shows the execution that restored it, encoded.
    pub execution: Option<Vec<u8>>,
}

/// Notes a restore, together with what it restored.
///
/// # Errors
/// Database errors.
pub async fn note(transaction: &Transaction<'_>, restored: &Restored) -> Result<(), Error> {
    transaction
        .execute(
            "INSERT INTO es.restored (position, chain, snapshot_id, snapshot, execution) \
             VALUES ($1, $2, $3, $4, $5)",
            &[
                &restored.position,
                &restored.chain,
                &restored.snapshot_id,
                &restored.snapshot,
                &restored.execution,
            ],
        )
        .await?;
    Ok(())
}

/// The restore that is not yet finished, if there is one.
///
/// # Errors
/// Database errors.
pub async fn noted(client: &Client) -> Result<Option<Restored>, Error> {
    let sql = "SELECT position, chain, snapshot_id, snapshot, execution FROM es.restored";
    let Some(row) = client.query_opt(sql, &[]).await? else {
        return Ok(None);
    };
    Ok(Some(Restored {
        position: row.try_get(0)?,
        chain: row.try_get(1)?,
        snapshot_id: row.try_get(2)?,
        snapshot: row.try_get(3)?,
        execution: row.try_get(4)?,
    }))
}

/// The restore is finished.
///
/// # Errors
/// Database errors.
pub async fn forget(client: &Client, restored: &Restored) -> Result<(), Error> {
    client
        .execute(
            "DELETE FROM es.restored WHERE position = $1",
            &[&restored.position],
        )
        .await?;
    Ok(())
}

fn numbered(index: usize) -> Result<(u8, &'static Table), Error> {
    let table = TABLES.get(index).zip(u8::try_from(index).ok());
    table
        .map(|(table, number)| (number, table))
        .ok_or_else(|| Error::internal(anyhow::anyhow!("the log has no table {index}")))
}
