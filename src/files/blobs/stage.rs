//! Spooled content: written and digested, not yet a blob.
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{BlobStore, Stored, local_path};
use crate::files::digest::Hasher;
use crate::files::error::{Error, Result};

/// Chunks of an upload on their way to the disk.
const QUEUE_CHUNKS: usize = 16;
/// From this many files on, one flush of the file system is cheaper than one per file.
const FLUSH_ALL_FROM: usize = 16;
const COPY_BYTES: usize = 128 * 1024;

/// Content in the spool; removed when dropped without a commit.
#[derive(Debug)]
pub struct Staged {
    file: TempPath,
    stored: Stored,
}

impl Staged {
    /// Name and length the blob will have.
    pub fn stored(&self) -> Stored {
        self.stored
    }

    /// The content, before it is committed.
    pub fn open(&self) -> io::Result<File> {
        File::open(&self.file)
    }
}

impl BlobStore {
    /// Spools a reader of at most `size_bytes_max` bytes. Blocks.
    pub fn stage_reader(&self, reader: &mut dyn Read, size_bytes_max: u64) -> Result<Staged> {
        let mut spooled = Spooled::create(&self.spool)?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            let length = match reader.read(&mut buffer) {
                Ok(0) => return spooled.finish(),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            spooled.write(buffer.get(..length).unwrap_or_default())?;
            if spooled.hasher.size_bytes() > size_bytes_max {
                return Err(Error::TooLarge {
                    limit_bytes: size_bytes_max,
                });
            }
        }
    }

    /// Spools a stream of at most `size_bytes_max` bytes. One blocking task writes and digests.
    pub async fn stage_stream<S, B, E>(&self, stream: S, size_bytes_max: u64) -> Result<Staged>
    where
        S: Stream<Item = Result<B, E>> + Send,
        B: Buf + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (chunks, queue) = mpsc::channel(QUEUE_CHUNKS);
        let spool = Arc::clone(&self.spool);
        let writer = tokio::task::spawn_blocking(move || write_chunks(&spool, queue));
        let mut stream = std::pin::pin!(stream);
        let mut size_bytes = 0;
        while let Some(item) = stream.next().await {
            let mut chunk = item.map_err(|error| Error::Upload(error.into()))?;
            size_bytes += chunk.remaining() as u64;
            if size_bytes > size_bytes_max {
                return Err(Error::TooLarge {
                    limit_bytes: size_bytes_max,
                });
            }
            // The writer hangs up only when it failed; its own result then says why.
            if chunks
                .send(chunk.copy_to_bytes(chunk.remaining()))
                .await
                .is_err()
            {
                break;
            }
        }
        drop(chunks);
        writer.await?
    }
}

fn write_chunks(spool: &Path, mut queue: mpsc::Receiver<Bytes>) -> Result<Staged> {
    let mut spooled = Spooled::create(spool)?;
    while let Some(chunk) = queue.blocking_recv() {
        spooled.write(&chunk)?;
    }
    spooled.finish()
}

/// A spool file in the making.
struct Spooled {
    file: tempfile::NamedTempFile,
    hasher: Hasher,
}

impl Spooled {
    fn create(spool: &Path) -> Result<Self> {
        let file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(spool)?;
        Ok(Self {
            file,
            hasher: Hasher::default(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// Closes the file: thousands may wait for one commit.
    fn finish(self) -> Result<Staged> {
        let (digest, size_bytes) = self.hasher.finish();
        let stored = Stored { digest, size_bytes };
        Ok(Staged {
            file: self.file.into_temp_path(),
            stored,
        })
    }
}

/// Data reaches the disk before a name does, and the names before we return: after a power cut
/// there is no blob with wrong content and no acknowledged blob is missing.
pub(super) fn commit_local(root: &Path, spool: &Path, staged: Vec<Staged>) -> Result<()> {
    let is_new = |blob: &Staged| {
        let present = fs::metadata(local_path(root, &blob.stored.digest));
        !present.is_ok_and(|meta| meta.len() == blob.stored.size_bytes)
    };
    let (fresh, known): (Vec<_>, Vec<_>) = staged.into_iter().partition(is_new);
    if fresh.len() >= FLUSH_ALL_FROM {
        nix::unistd::syncfs(File::open(spool)?).map_err(io::Error::from)?;
    } else {
        for blob in &fresh {
            blob.open()?.sync_all()?;
        }
    }
    let mut touched = BTreeSet::new();
    // A blob that is already there may have been renamed a moment ago by another upload that has
    // not synced its directory yet.
    for blob in &known {
        touched.extend(
            local_path(root, &blob.stored.digest)
                .parent()
                .map(Path::to_owned),
        );
    }
    for blob in fresh {
        let target = local_path(root, &blob.stored.digest);
        if let Some(directory) = target.parent() {
            if !directory.is_dir() {
                fs::create_dir_all(directory)?;
                touched.extend(directory.parent().map(Path::to_owned));
            }
            touched.insert(directory.to_owned());
        }
        blob.file.persist(&target).map_err(|error| error.error)?;
    }
    for directory in touched {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Small content in one request, large in parts.
pub(super) async fn upload(
    store: Arc<dyn ObjectStore>,
    location: ObjectPath,
    blob: &Staged,
) -> Result<()> {
    let mut source = tokio::fs::File::open(&blob.file).await?;
    let mut target = BufWriter::new(store, location);
    if let Err(error) = tokio::io::copy(&mut source, &mut target).await {
        target.abort().await?;
        return Err(error.into());
    }
    Ok(target.shutdown().await?)
}
