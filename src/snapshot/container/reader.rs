//! Reads a snapshot. Opening checks its structure completely; content is checked while it is read.
use std::io::{self, Read, Seek};

use zip::ZipArchive;
use zip::result::ZipError;

use super::writer::check_complete;
use super::{
    ContainerError, FORMAT, FORMAT_VERSION, JSON_BYTES_MAX, Limits, MANIFEST_NAME, METADATA_NAME,
    Metadata, Part, Result, SEGMENT_BYTES_MAX, blob_name, manifest_json, segment_name,
};
use crate::files::Digest;
use crate::files::archive::{ArchiveError, count_zip_entries};
use crate::files::blobs::BlobStore;
use crate::files::digest::Hasher;
use crate::files::manifest::Manifest;

/// Blobs that are committed together.
const BATCH_BLOBS: usize = 256;

/// An open snapshot.
#[derive(Debug)]
pub struct Reader<R> {
    zip: ZipArchive<R>,
    metadata: Metadata,
    manifest: Manifest,
}

/// What a complete check has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Number of log segments.
    pub segments: usize,
    /// Number of blobs.
    pub blobs: usize,
    /// Content, unpacked.
    pub content_bytes: u64,
}

/// Only the version, readable whatever the rest of the metadata looks like.
#[derive(serde::Deserialize)]
struct Format {
    format: String,
    format_version: u32,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens a snapshot: version, list of parts, sizes, manifest.
    pub fn open(mut source: R, limits: &Limits) -> Result<Self> {
        let declared = count_zip_entries(&mut source).map_err(|error| match error {
            crate::files::Error::Archive(ArchiveError::Truncated) => ContainerError::Truncated,
            crate::files::Error::Archive(other) => ContainerError::Damaged(other.to_string()),
            other => other.into(),
        })?;
        if declared > limits.entries_max {
            let limit = limits.entries_max;
            return Err(ContainerError::Limit {
                what: "entries",
                limit,
            });
        }
        source.rewind()?;
        let mut zip = ZipArchive::new(source).map_err(damage)?;
        if zip.len() as u64 != declared {
            return Err(ContainerError::Unexpected(
                "name that occurs twice".to_owned(),
            ));
        }
        let json = read_entry(&mut zip, METADATA_NAME, JSON_BYTES_MAX)?;
        let damaged = |name: &str, error: serde_json::Error| {
            ContainerError::Damaged(format!("{name}: {error}"))
        };
        let format: Format =
            serde_json::from_slice(&json).map_err(|error| damaged(METADATA_NAME, error))?;
        if format.format != FORMAT {
            return Err(ContainerError::Damaged(format!(
                "format {:?}",
                format.format
            )));
        }
        if format.format_version != FORMAT_VERSION {
            return Err(ContainerError::Version {
                found: format.format_version,
            });
        }
        let metadata: Metadata =
            serde_json::from_slice(&json).map_err(|error| damaged(METADATA_NAME, error))?;
        check_sizes(&metadata, limits)?;
        check_names(&mut zip, &metadata)?;
        let json = read_part(&mut zip, MANIFEST_NAME, &metadata.manifest)?;
        let manifest =
            manifest_json::decode(&json).map_err(|error| damaged(MANIFEST_NAME, error))?;
        check_complete(&metadata.blobs, &manifest)?;
        Ok(Self {
            zip,
            metadata,
            manifest,
        })
    }

    /// What the snapshot says about itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The resource directory at the position.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The log segment with this index, counted from zero; checked against its digest.
    pub fn segment(&mut self, index: usize) -> Result<Vec<u8>> {
        let name = segment_name(index);
        let Some(part) = self.metadata.segments.get(index) else {
            return Err(ContainerError::Missing(name));
        };
        read_part(&mut self.zip, &name, part)
    }

    /// Reads a blob into `out`. What was written there may only be used when this returns `Ok`.
    pub fn blob(&mut self, digest: &Digest, out: &mut dyn io::Write) -> Result<u64> {
        let name = blob_name(digest);
        let blobs = &self.metadata.blobs;
        let found = blobs.binary_search_by(|blob| blob.sha256.cmp(digest)).ok();
        let Some(part) = found.and_then(|at| blobs.get(at)) else {
            return Err(ContainerError::Missing(name));
        };
        let mut entry = self.zip.by_name(&name).map_err(damage)?;
        let mut checked = Checked {
            inner: &mut entry,
            hasher: Hasher::default(),
        };
        io::copy(&mut checked, out).map_err(|error| damage(ZipError::Io(error)))?;
        checked.finish(&name, part)?;
        Ok(part.size_bytes)
    }

    /// Reads everything and compares every digest. `progress` hears of the bytes of each part.
    pub fn verify(&mut self, progress: &mut dyn FnMut(u64)) -> Result<Verified> {
        for index in 0..self.metadata.segments.len() {
            progress(self.segment(index)?.len() as u64);
        }
        let digests: Vec<_> = self.metadata.blobs().map(|(digest, _)| digest).collect();
        for digest in &digests {
            progress(self.blob(digest, &mut io::sink())?);
        }
        Ok(Verified {
            segments: self.metadata.segments.len(),
            blobs: digests.len(),
            content_bytes: self.metadata.content_bytes(),
        })
    }

    /// Puts every blob into a store; only those that prove right are committed. Blocks; on a
    /// blocking thread of the runtime.
    pub fn import_blobs(&mut self, store: &BlobStore, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let runtime = tokio::runtime::Handle::current();
        let parts = self.metadata.blobs.clone();
        for batch in parts.chunks(BATCH_BLOBS) {
            let mut staged = Vec::with_capacity(batch.len());
            for part in batch {
                let name = blob_name(&part.sha256);
                let mut entry = self.zip.by_name(&name).map_err(damage)?;
                let blob = store
                    .stage_reader(&mut entry, part.size_bytes)
                    .map_err(|error| match error {
                        crate::files::Error::Io(error) => damage(ZipError::Io(error)),
                        other => other.into(),
                    })?;
                part.check(&name, blob.stored().digest, blob.stored().size_bytes)?;
                staged.push(blob);
            }
            runtime.block_on(store.commit(staged))?;
            progress(batch.iter().map(|part| part.size_bytes).sum());
        }
        Ok(())
    }
}

/// Sizes are listed before anything is unpacked.
fn check_sizes(metadata: &Metadata, limits: &Limits) -> Result<()> {
    let limit = limits.total_bytes_max;
    if metadata.content_bytes() > limit {
        return Err(ContainerError::Limit {
            what: "bytes of content",
            limit,
        });
    }
    if metadata
        .segments
        .iter()
        .any(|part| part.size_bytes > SEGMENT_BYTES_MAX)
    {
        let limit = SEGMENT_BYTES_MAX;
        return Err(ContainerError::Limit {
            what: "bytes in one segment",
            limit,
        });
    }
    if metadata.manifest.size_bytes > JSON_BYTES_MAX {
        let limit = JSON_BYTES_MAX;
        return Err(ContainerError::Limit {
            what: "bytes of the manifest",
            limit,
        });
    }
    if !metadata.blobs.is_sorted_by(|a, b| a.sha256 < b.sha256) {
        return Err(ContainerError::Unexpected("order of blobs".to_owned()));
    }
    Ok(())
}

/// Exactly what is listed, in the order of the writer.
fn check_names<R: Read + Seek>(zip: &mut ZipArchive<R>, metadata: &Metadata) -> Result<()> {
    let mut found = 0;
    for name in metadata.names() {
        if zip.name_for_index(found) != Some(&name) {
            return Err(match zip.index_for_name(&name) {
                None => ContainerError::Missing(name),
                Some(_) => {
                    let other = zip.name_for_index(found).unwrap_or_default();
                    ContainerError::Unexpected(format!("{other:?}"))
                }
            });
        }
        found += 1;
    }
    match zip.name_for_index(found) {
        Some(extra) => Err(ContainerError::Unexpected(format!("{extra:?}"))),
        None => Ok(()),
    }
}

fn read_part<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str, part: &Part) -> Result<Vec<u8>> {
    let bytes = read_entry(zip, name, part.size_bytes)?;
    part.check(name, Digest::of(&bytes), bytes.len() as u64)?;
    Ok(bytes)
}

fn read_entry<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
    size_bytes_max: u64,
) -> Result<Vec<u8>> {
    let entry = match zip.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Err(ContainerError::Missing(name.to_owned())),
        Err(error) => return Err(damage(error)),
    };
    let mut bytes = Vec::new();
    // One byte more tells content that is too long from content that just fits.
    let mut capped = entry.take(size_bytes_max.saturating_add(1));
    capped
        .read_to_end(&mut bytes)
        .map_err(|error| damage(ZipError::Io(error)))?;
    if bytes.len() as u64 > size_bytes_max {
        return Err(ContainerError::Damaged(format!(
            "{name} is larger than listed"
        )));
    }
    Ok(bytes)
}

impl Part {
    fn check(&self, name: &str, found: Digest, size_bytes: u64) -> Result<()> {
        if found != self.sha256 || size_bytes != self.size_bytes {
            let name = name.to_owned();
            return Err(ContainerError::Digest {
                name,
                expected: self.sha256,
                found,
            });
        }
        Ok(())
    }
}

/// Digests what passes.
struct Checked<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> Checked<R> {
    fn finish(self, name: &str, part: &Part) -> Result<()> {
        let (found, size_bytes) = self.hasher.finish();
        part.check(name, found, size_bytes)
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

fn damage(error: ZipError) -> ContainerError {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ContainerError::Truncated
        }
        // a checksum that is wrong comes as this, too
        ZipError::Io(error) => ContainerError::Damaged(error.to_string()),
        other => ContainerError::Damaged(other.to_string()),
    }
}
