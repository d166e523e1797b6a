//! Content-addressed blobs: SHA-256 → bytes, on the local disk or in an object store.
//!
//! Content is first written to a spool file while its digest is computed, then committed under its
//! name. A blob that was committed is durable: file and directory are synced before the call
//! returns. What is already there is not written again.
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use futures::{Stream, TryFutureExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::digest::Digest;
use super::error::{Error, Result, blocking};

pub use stage::Staged;

mod stage;
#[cfg(test)]
mod tests;

/// Read-ahead of one streamed download.
const STREAM_CHUNK_BYTES: usize = 128 * 1024;
/// Directory of the blobs below the root of a local store.
const NAMESPACE: &str = "sha256";
/// Directory of unfinished uploads below the root; same file system, so a rename commits.
const SPOOL: &str = "spool";
/// No upload takes longer.
const SPOOL_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Name and length of a committed blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// Handle on the store; clones share it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    /// Root of a local store; `None` when the blobs are elsewhere.
    local: Option<Arc<Path>>,
    spool: Arc<Path>,
}

impl BlobStore {
    /// A store below a local directory, which is made when missing. Old spool files of
    /// processes that died are removed.
    pub fn local(root: &Path) -> Result<Self> {
        fs::create_dir_all(root.join(NAMESPACE))?;
        let store = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            prefix: ObjectPath::from(NAMESPACE),
            local: Some(root.into()),
            spool: tidy_spool(&root.join(SPOOL))?.into(),
        })
    }

    /// A store somewhere else; uploads are spooled below `spool` first.
    pub fn remote(store: Arc<dyn ObjectStore>, prefix: ObjectPath, spool: &Path) -> Result<Self> {
        let spool = tidy_spool(spool)?.into();
        Ok(Self {
            store,
            prefix: prefix.join(NAMESPACE),
            local: None,
            spool,
        })
    }

    /// By address: a directory, `file:///…`, or `s3://bucket/prefix` (feature `s3`; credentials and
    /// endpoint from the usual `AWS_…` variables). `data_dir` holds the spool of remote stores.
    pub fn open_url(address: &str, data_dir: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::StoreUrl {
            url: address.to_owned(),
            reason,
        };
        if !address.contains("://") {
            return Self::local(Path::new(address));
        }
        let url = url::Url::parse(address).map_err(|error| refuse(error.to_string()))?;
        match url.scheme() {
            "file" => {
                let path = url
                    .to_file_path()
                    .map_err(|()| refuse("not a local path".into()))?;
                Self::local(&path)
            }
            "s3" => Self::s3(address, &url, data_dir),
            other => Err(refuse(format!("scheme {other} is not supported"))),
        }
    }

    #[cfg(feature = "s3")]
    fn s3(address: &str, url: &url::Url, data_dir: &Path) -> Result<Self> {
        let store = object_store::aws::AmazonS3Builder::from_env()
            .with_url(address)
            .build()?;
        let prefix = ObjectPath::from_url_path(url.path()).map_err(object_store::Error::from)?;
        Self::remote(Arc::new(store), prefix, &data_dir.join("blob-spool"))
    }

    #[cfg(not(feature = "s3"))]
    fn s3(address: &str, _url: &url::Url, _data_dir: &Path) -> Result<Self> {
        let reason = "this build has no S3 support (cargo feature s3)".to_owned();
        Err(Error::StoreUrl {
            url: address.to_owned(),
            reason,
        })
    }

    /// Takes in a stream, at most `size_bytes_max` bytes of it, and commits it.
    pub async fn put_stream<S, B, E>(&self, stream: S, size_bytes_max: u64) -> Result<Stored>
    where
        S: Stream<Item = Result<B, E>> + Send,
        B: Buf + Send,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let staged = self.stage_stream(stream, size_bytes_max).await?;
        let stored = staged.stored();
        self.commit(vec![staged]).await?;
        Ok(stored)
    }

    /// Commits bytes in memory.
    pub async fn put_bytes(&self, bytes: Bytes) -> Result<Stored> {
        let size_bytes_max = bytes.len() as u64;
        let stream = futures::stream::iter([Ok::<_, io::Error>(bytes)]);
        self.put_stream(stream, size_bytes_max).await
    }

    /// Makes spooled content permanent, many files with few disk flushes. All of it is durable when
    /// this returns; after a failure some may be there, which does no harm.
    pub async fn commit(&self, staged: Vec<Staged>) -> Result<()> {
        if let Some(root) = self.local.clone() {
            let spool = Arc::clone(&self.spool);
            return blocking(move || stage::commit_local(&root, &spool, staged)).await;
        }
        for blob in staged {
            if self.size_bytes(&blob.stored().digest).await?.is_some() {
                continue;
            }
            let location = self.location(&blob.stored().digest);
            stage::upload(Arc::clone(&self.store), location, &blob).await?;
        }
        Ok(())
    }

    /// Length of a blob; `None` when there is none.
    pub async fn size_bytes(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.store.head(&self.location(digest)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The whole blob in memory: for small ones.
    pub async fn bytes(&self, digest: &Digest) -> Result<Bytes> {
        if let Some(path) = self.local_path(digest) {
            let digest = *digest;
            return blocking(move || {
                fs::read(path)
                    .map(Bytes::from)
                    .map_err(|error| missing(error, digest))
            })
            .await;
        }
        let found = self.get(digest, GetOptions::default()).await?;
        Ok(found.bytes().await?)
    }

    /// The bytes of a range, piece by piece. The range must lie within the blob.
    pub async fn stream(
        &self,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        if let Some(path) = self.local_path(digest) {
            let open = tokio::fs::File::open(path).map_err(|error| missing(error, *digest));
            let mut file = open.await?;
            if range.start > 0 {
                file.seek(io::SeekFrom::Start(range.start)).await?;
            }
            let part = file.take(range.end.saturating_sub(range.start));
            let chunks = ReaderStream::with_capacity(part, STREAM_CHUNK_BYTES);
            return Ok(chunks.map_err(Error::from).boxed());
        }
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions {
            range: Some(range.into()),
            ..GetOptions::default()
        };
        let found = self.get(digest, options).await?;
        Ok(found.into_stream().map_err(Error::from).boxed())
    }

    /// The blob as a file to read from its start. Remote blobs are fetched into an unnamed file.
    pub async fn open(&self, digest: &Digest) -> Result<File> {
        let digest = *digest;
        if let Some(path) = self.local_path(&digest) {
            return blocking(move || File::open(path).map_err(|e| missing(e, digest))).await;
        }
        let spool = Arc::clone(&self.spool);
        let file = blocking(move || Ok(tempfile::tempfile_in(spool)?)).await?;
        let mut target = tokio::fs::File::from_std(file);
        let chunks = self
            .get(&digest, GetOptions::default())
            .await?
            .into_stream();
        let mut source = tokio_util::io::StreamReader::new(chunks.map_err(io::Error::other));
        tokio::io::copy(&mut source, &mut target).await?;
        target.rewind().await?;
        Ok(target.into_std().await)
    }

    /// As `open`, for code that already runs on a blocking thread of the runtime.
    pub fn open_blocking(&self, digest: &Digest) -> Result<File> {
        match self.local_path(digest) {
            Some(path) => File::open(path).map_err(|error| missing(error, *digest)),
            None => tokio::runtime::Handle::current().block_on(self.open(digest)),
        }
    }

    /// Where a local store keeps the blob; `None` when the store is elsewhere.
    pub fn local_path(&self, digest: &Digest) -> Option<PathBuf> {
        self.local.as_ref().map(|root| local_path(root, digest))
    }

    /// Reads the blob and compares its digest with its name. Returns its length.
    pub async fn verify(&self, digest: &Digest) -> Result<u64> {
        let expected = *digest;
        let mut file = self.open(digest).await?;
        blocking(move || {
            let (found, size_bytes) = Digest::of_reader(&mut file)?;
            if found == expected {
                Ok(size_bytes)
            } else {
                Err(Error::BlobDamaged { expected, found })
            }
        })
        .await
    }

    /// Every blob with its length, in no particular order.
    pub fn list(&self) -> BoxStream<'static, Result<Stored>> {
        let objects = self.store.list(Some(&self.prefix)).map_err(Error::from);
        objects
            .try_filter_map(|meta| async move {
                let name = meta.location.filename().and_then(|name| name.parse().ok());
                Ok(name.map(|digest| Stored {
                    digest,
                    size_bytes: meta.size,
                }))
            })
            .boxed()
    }

    /// Removes a blob; one that is not there is no error. For content that nothing refers to.
    pub async fn remove(&self, digest: &Digest) -> Result<()> {
        match self.store.delete(&self.location(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn get(&self, digest: &Digest, options: GetOptions) -> Result<object_store::GetResult> {
        match self.store.get_opts(&self.location(digest), options).await {
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Err(Error::BlobMissing(*digest)),
            Err(error) => Err(error.into()),
        }
    }

    fn location(&self, digest: &Digest) -> ObjectPath {
        let name = digest.to_string();
        self.prefix.clone().join(shard(&name)).join(name)
    }
}

/// Two digits: 256 directories keep each one small.
fn shard(name: &str) -> &str {
    name.get(..2).unwrap_or(name)
}

fn local_path(root: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_string();
    root.join(NAMESPACE).join(shard(&name)).join(name)
}

fn missing(error: io::Error, digest: Digest) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::BlobMissing(digest),
        _ => error.into(),
    }
}

/// Makes the spool directory and clears what processes left there when they died. Only old files:
/// another process (a second manager, the operator's tool) may be spooling right now.
fn tidy_spool(spool: &Path) -> Result<PathBuf> {
    fs::create_dir_all(spool)?;
    for file in fs::read_dir(spool)? {
        let file = file?;
        let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age > SPOOL_AGE_MAX {
            fs::remove_file(file.path())?;
        }
    }
    Ok(spool.to_owned())
}
