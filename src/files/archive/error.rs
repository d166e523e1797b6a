//! Why an archive is refused.
use crate::files::path::PathError;

/// Why an archive is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// Neither zip nor tar, plain or compressed.
    #[error("not an archive of a known format (zip, tar, tar.gz, tar.bz2)")]
    UnknownFormat,
    /// Ends too early.
    #[error("the archive is truncated")]
    Truncated,
    /// Checksums or structure are wrong.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// A member with a path that is absolute, leaves the root, or is otherwise unacceptable.
    #[error("archive member {name:?}: {source}")]
    Path {
        /// As spelled in the archive.
        name: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A link, device, pipe, sparse file or the like.
    #[error("archive member {name:?} is neither a file nor a directory")]
    Special {
        /// As spelled in the archive.
        name: String,
    },
    /// Two members of the same name, or a file where another member needs a directory.
    #[error("archive member {name:?} occurs twice or collides with another member")]
    Duplicate {
        /// As spelled in the archive.
        name: String,
    },
    /// Needs a password.
    #[error("archive member {name:?} is encrypted")]
    Encrypted {
        /// As spelled in the archive.
        name: String,
    },
    /// Over one of the limits.
    #[error("the archive is over the limit of {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// Unpacks to suspiciously much.
    #[error("the archive expands more than {ratio_max} times")]
    Bomb {
        /// How much is allowed.
        ratio_max: u64,
    },
    /// A blueprint archive has exactly one directory at its top.
    #[error("the archive must contain exactly one directory at its top level, and no files there")]
    NoSingleDirectory,
    /// The directory to unpack into has files already.
    #[error("the directory to unpack into is not empty")]
    TargetNotEmpty,
}
