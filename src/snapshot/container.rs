//! The snapshot file: one zip with the log, the resource directory and the blobs, every part named
//! with its digest in `metadata.json`. The same content always gives the same bytes.
//!
//! ```text
//! blobs/<sha256>        stored, ascending
//! log/000000001.bin     deflated, ascending; opaque to the container
//! manifest.json         deflated; the resource directory at the position
//! metadata.json         deflated; versions, position, chain value, digests of all parts
//! ```
//! What stands in the log segments is the business of export and import. Writer and reader block.
use std::io;

use serde::{Deserialize, Serialize};

use crate::files::{self, Digest};

pub use reader::{Reader, Verified};
pub use writer::Writer;

mod manifest_json;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

/// The version of the container this build writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT: &str = "stratalog-snapshot";
const METADATA_NAME: &str = "metadata.json";
const MANIFEST_NAME: &str = "manifest.json";

/// Largest log segment: segments are held in memory one at a time.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Largest `manifest.json` and `metadata.json`.
const JSON_BYTES_MAX: u64 = 1 << 30;

/// What a snapshot may contain at most; the writer has no other limits than the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the zip.
    pub entries_max: u64,
    /// All content, unpacked.
    pub total_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: 10_000_000,
            total_bytes_max: 1 << 42,
        }
    }
}

/// Why a snapshot cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Not a zip, or damaged.
    #[error("not a snapshot, or a damaged one: {0}")]
    Damaged(String),
    /// Ends too early.
    #[error("the snapshot is truncated")]
    Truncated,
    /// Written by another version.
    #[error("snapshot format {found} is not supported; this version reads {FORMAT_VERSION}")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// Something that belongs there is not.
    #[error("the snapshot lacks {0}")]
    Missing(String),
    /// Something is there that does not belong, or twice, or not in its place.
    #[error("unexpected {0} in the snapshot")]
    Unexpected(String),
    /// Content and digest differ.
    #[error("{name} is damaged: its digest is {found} instead of {expected}")]
    Digest {
        /// The part.
        name: String,
        /// As listed.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// Over one of the limits.
    #[error("the snapshot is over the limit of {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The blob store failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Reading or writing failed.
    #[error("snapshot file: {0}")]
    Io(#[from] io::Error),
}

/// Result of snapshot work.
pub type Result<T, E = ContainerError> = std::result::Result<T, E>;

/// What the snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the product that wrote it.
    pub product_version: String,
    /// Last position of the log that is in it.
    pub position: u64,
    /// Value of the hash chain at that position.
    pub chain: Digest,
}

/// A part and its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(with = "digest_text")]
    sha256: Digest,
    size_bytes: u64,
}

/// `metadata.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    format: String,
    format_version: u32,
    product_version: String,
    position: u64,
    #[serde(with = "digest_text")]
    chain: Digest,
    manifest: Part,
    segments: Vec<Part>,
    blobs: Vec<Part>,
}

impl Metadata {
    /// What the snapshot is of.
    pub fn header(&self) -> Header {
        Header {
            product_version: self.product_version.clone(),
            position: self.position,
            chain: self.chain,
        }
    }

    /// Number of log segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The blobs and their sizes, ascending.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        self.blobs.iter().map(|blob| (blob.sha256, blob.size_bytes))
    }

    /// All content, unpacked: for progress.
    pub fn content_bytes(&self) -> u64 {
        let parts = self.segments.iter().chain(&self.blobs);
        parts.fold(self.manifest.size_bytes, |sum, part| {
            sum.saturating_add(part.size_bytes)
        })
    }

    /// The names that the zip must have, in order.
    fn names(&self) -> impl Iterator<Item = String> {
        let blobs = self.blobs.iter().map(|blob| blob_name(&blob.sha256));
        let segments = (0..self.segments.len()).map(segment_name);
        blobs
            .chain(segments)
            .chain([MANIFEST_NAME.to_owned(), METADATA_NAME.to_owned()])
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{digest}")
}

/// Numbered from one, wide enough to sort as text.
fn segment_name(index: usize) -> String {
    format!("log/{:09}.bin", index + 1)
}

mod digest_text {
    //! Digests as lower-case hexadecimal text.
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::files::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Digest, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(input)?;
        text.parse().map_err(de::Error::custom)
    }
}
