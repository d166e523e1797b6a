//! A database whose log ends early: what was appended up to a position, and views made of it.
use bytes::Bytes;
use futures::{SinkExt, StreamExt, pin_mut};
use stratalog_projections::rebuild;
use tokio_postgres::Client;

use crate::support::{database::TestDatabase, empty_database};

/// Tables of the log, with the rows that belong to its first `$` positions.
const TABLES: [(&str, &str); 6] = [
    ("es.spine", "first_position <= $"),
    (
        "es.stream",
        "stream_no IN (SELECT stream_no FROM es.log WHERE position <= $)",
    ),
    ("es.log", "position <= $"),
    ("es.segment", "first_position <= $"),
    ("es.segment_ref", "first_position <= $"),
    ("es.command", "first_position <= $"),
];

/// A log that ends at a position.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) database: TestDatabase,
}

impl Cut {
    /// Copies the log up to the end of a batch, and rebuilds the views from it.
    pub(super) async fn of(whole: &TestDatabase, position: i64) -> Self {
        let database = empty_database().await;
        let from = whole.connect().await;
        let mut to = database.connect().await;
        for (table, condition) in TABLES {
            let condition = condition.replace('$', &position.to_string());
            copy(&from, &to, table, &condition).await;
        }
        let transaction = to.transaction().await.unwrap();
        rebuild::build_beside(&transaction, position, &|_| {})
            .await
            .unwrap();
        rebuild::swap(&transaction, position).await.unwrap();
        transaction.commit().await.unwrap();
        Self { database }
    }
}

/// The positions at which something was committed.
pub(super) async fn batch_ends(database: &TestDatabase) -> Vec<i64> {
    let client = database.connect().await;
    let query = "SELECT first_position + n - 1 FROM es.spine ORDER BY 1";
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn copy(from: &Client, to: &Client, table: &str, condition: &str) {
    let statement = format!("COPY (SELECT * FROM {table} WHERE {condition}) TO STDOUT BINARY");
    let rows = from.copy_out(&statement).await.unwrap();
    let statement = format!("COPY {table} FROM STDIN BINARY");
    let sink = to.copy_in::<_, Bytes>(&statement).await.unwrap();
    pin_mut!(rows, sink);
    while let Some(chunk) = rows.next().await {
        sink.send(chunk.unwrap()).await.unwrap();
    }
    sink.finish().await.unwrap();
}
