//! What can go wrong with files, told apart as far as callers answer differently.
use super::archive::ArchiveError;
use super::digest::Digest;
use super::path::PathError;

/// Result of file operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failure of a file operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a path of the resource directory.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The archive is damaged, hostile or over a limit.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// More bytes arrived than the caller allowed.
    #[error("content is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit that was passed.
        limit_bytes: u64,
    },
    /// No such blob.
    #[error("blob {0} is missing")]
    BlobMissing(Digest),
    /// The stored bytes are not what their name says.
    #[error("blob {expected} is damaged: its content has digest {found}")]
    BlobDamaged {
        /// Name of the blob.
        expected: Digest,
        /// Digest of its bytes.
        found: Digest,
    },
    /// The client's side of an upload broke off or sent nonsense.
    #[error("upload failed: {0}")]
    Upload(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address of the blob store cannot be used.
    #[error("blob store {url}: {reason}")]
    StoreUrl {
        /// As configured.
        url: String,
        /// Why it does not work.
        reason: String,
    },
    /// The object store failed.
    #[error("blob store: {0}")]
    Store(#[from] object_store::Error),
    /// The file system failed.
    #[error("file system: {0}")]
    Io(#[from] std::io::Error),
    /// A blocking task was cancelled or panicked.
    #[error("blocking file task: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs file work that blocks away from the async threads.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?
}
