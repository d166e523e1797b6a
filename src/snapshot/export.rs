//! Export: log, resource directory and contents up to a position, as one reproducible file.
use std::{io::Write, str::FromStr as _};

use stratalog_projections::{rebuild, tables::LIVE, views};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use super::{
    Done, Progress,
    container::{Header, Metadata, SEGMENT_BYTES_MAX, Writer},
    told,
};
use crate::{
    db::Database,
    error::Error,
    files::{
        Digest,
        blobs::BlobStore,
        manifest::{Entry, Manifest},
        path::ResourcePath,
    },
    log::{read, transfer},
};

/// Positions that go into one segment, unless that gets too large.
const SEGMENT_POSITIONS: i64 = 50_000;

/// What was exported.
#[derive(Debug, Clone)]
pub struct Exported<W> {
    /// Where it was written to.
    pub out: W,
    /// What is in it.
    pub metadata: Metadata,
    /// Digest of the resource directory.
    pub manifest: Digest,
}

/// Writes everything up to a position at which a batch ends (the log's head if none is given) to
/// `out`. Nobody waits for it, and what is appended meanwhile changes nothing.
///
/// # Errors
/// Database errors, missing contents, a full disk, an empty log.
pub async fn export<W: Write + Send + 'static>(
    database: &Database,
    blobs: &BlobStore,
    (out, upto): (W, Option<i64>),
    progress: Progress,
) -> Result<Exported<W>, Error> {
    let client = database.dedicated().await?;
    let upto = match upto {
        Some(position) => position,
        None => rebuild::head(&client).await?,
    };
    let blobs = blobs.clone();
    let written = tokio::task::spawn_blocking(move || {
        let export = Export {
            handle: Handle::current(),
            client,
            position: upto,
            progress,
        };
        export.write(&blobs, out)
    });
    written.await.map_err(Error::internal)?
}

struct Export {
    handle: Handle,
    client: Client,
    position: i64,
    progress: Progress,
}

impl Export {
    fn write<W: Write>(&self, blobs: &BlobStore, out: W) -> Result<Exported<W>, Error> {
        let chain = self
            .handle
            .block_on(read::chain_at(&self.client, self.position))?
            .ok_or_else(|| Error::internal(anyhow::anyhow!("the log is empty")))?;
        let (manifest, contents) = self
            .handle
            .block_on(resources(&self.client, self.position))?;
        let mut writer = Writer::new(out);
        let mut bytes = |bytes| (self.progress)(Done::Bytes(bytes));
        writer
            .blobs_of(&manifest, contents, blobs, &mut bytes)
            .map_err(told)?;
        for table in 0..transfer::TABLE_COUNT {
            self.table(table, &mut writer)?;
        }
        let header = Header {
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            position: u64::try_from(self.position).map_err(Error::internal)?,
            chain: Digest::from_slice(&chain)
                .ok_or_else(|| Error::internal(anyhow::anyhow!("a chain value has 32 bytes")))?,
        };
        let (out, metadata) = writer.finish(header, &manifest).map_err(told)?;
        Ok(Exported {
            out,
            metadata,
            manifest: manifest.digest(),
        })
    }

    /// The rows of a table. What is in the log never changes, so this needs no transaction.
    fn table<W: Write>(&self, table: usize, writer: &mut Writer<W>) -> Result<(), Error> {
        let mut from = 1;
        let mut span = SEGMENT_POSITIONS;
        while from <= self.position {
            let upto = self.position.min(from.saturating_add(span - 1));
            let rows = transfer::copy_out(&self.client, table, from, upto);
            if let Some(rows) = self.handle.block_on(rows)? {
                let size_bytes = rows.len() as u64;
                if size_bytes > SEGMENT_BYTES_MAX && span > 1 {
                    span /= 2;
                    continue;
                }
                writer.segment(&rows).map_err(told)?;
                (self.progress)(Done::Bytes(size_bytes));
            }
            from = upto + 1;
        }
        Ok(())
    }
}

/// The resource directory as it was, and every content that it had until then.
async fn resources(
    client: &Client,
    position: i64,
) -> Result<(Manifest, Vec<(Digest, u64)>), Error> {
    let sql = format!(
        "SELECT doc, valid_to FROM {LIVE}.files WHERE valid_from <= $1 \
         ORDER BY key COLLATE \"C\", valid_from"
    );
    let mut current = Vec::new();
    let mut all = Vec::new();
    for row in client.query(&sql, &[&position]).await? {
        let doc: &str = row.try_get(0)?;
        let file: views::files::File = serde_json::from_str(doc).map_err(Error::internal)?;
        let digest = Digest::from_str(&file.digest).map_err(Error::internal)?;
        let size_bytes = u64::try_from(file.size_bytes).map_err(Error::internal)?;
        all.push((digest, size_bytes));
        if row.try_get::<_, i64>(1)? > position {
            let path = ResourcePath::parse(&file.path).map_err(Error::internal)?;
            let entry = Entry {
                digest,
                size_bytes,
                mode: file.mode,
                mtime_us: file.modified_at_ms * 1_000,
            };
            current.push((path, entry));
        }
    }
    Ok((current.into_iter().collect(), all))
}
