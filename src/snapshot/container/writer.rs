//! Writes a snapshot in one pass: blobs, then log segments, then what lists them.
use std::io::{self, Read, Write};

use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::{
    ContainerError, FORMAT, FORMAT_VERSION, Header, MANIFEST_NAME, METADATA_NAME, Metadata, Part,
    Result, SEGMENT_BYTES_MAX, blob_name, manifest_json, segment_name,
};
use crate::files::Digest;
use crate::files::blobs::BlobStore;
use crate::files::digest::Hasher;
use crate::files::manifest::Manifest;

/// One level for all: the bytes are compared.
const LEVEL: i64 = 6;

/// A snapshot being written to a file or any other sink; it is not seeked.
pub struct Writer<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    blobs: Vec<Part>,
    segments: Vec<Part>,
}

impl<W: Write> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (blobs, segments) = (self.blobs.len(), self.segments.len());
        f.debug_struct("Writer")
            .field("blobs", &blobs)
            .field("segments", &segments)
            .finish()
    }
}

impl<W: Write> Writer<W> {
    /// Starts a snapshot.
    pub fn new(out: W) -> Self {
        Self {
            zip: ZipWriter::new_stream(out),
            blobs: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// Adds a blob. Blobs come before segments, each once, in ascending order.
    pub fn blob(&mut self, digest: Digest, size_bytes: u64, content: &mut dyn Read) -> Result<()> {
        let name = blob_name(&digest);
        let is_ascending = self.blobs.last().is_none_or(|last| last.sha256 < digest);
        if !is_ascending || !self.segments.is_empty() {
            return Err(ContainerError::Unexpected(name));
        }
        // What is a blob is mostly packed already, and stored bytes depend on no compressor.
        self.start(&name, CompressionMethod::Stored, size_bytes)?;
        let mut copy = Digesting {
            inner: &mut self.zip,
            hasher: Hasher::default(),
        };
        io::copy(content, &mut copy)?;
        let (found, found_bytes) = copy.hasher.finish();
        if found != digest || found_bytes != size_bytes {
            return Err(ContainerError::Digest {
                name,
                expected: digest,
                found,
            });
        }
        self.blobs.push(Part {
            sha256: digest,
            size_bytes,
        });
        Ok(())
    }

    /// Adds every blob that the manifest needs, and those in `more` (older content that the log
    /// speaks of). `progress` hears of the bytes of each. Blocks; on a thread of the runtime.
    pub fn blobs_of(
        &mut self,
        manifest: &Manifest,
        more: impl IntoIterator<Item = (Digest, u64)>,
        store: &BlobStore,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let mut blobs = manifest.blobs();
        blobs.extend(more);
        for (digest, size_bytes) in blobs {
            self.blob(digest, size_bytes, &mut store.open_blocking(&digest)?)?;
            progress(size_bytes);
        }
        Ok(())
    }

    /// Adds the next log segment.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<()> {
        let size_bytes = bytes.len() as u64;
        if size_bytes > SEGMENT_BYTES_MAX {
            return Err(ContainerError::Limit {
                what: "bytes in one segment",
                limit: SEGMENT_BYTES_MAX,
            });
        }
        self.deflated(&segment_name(self.segments.len()), bytes)?;
        self.segments.push(Part {
            sha256: Digest::of(bytes),
            size_bytes,
        });
        Ok(())
    }

    /// Adds the manifest and the metadata and ends the file. Every blob of the manifest must have
    /// been added. The sink is flushed; making it durable is the caller's part.
    pub fn finish(mut self, header: Header, manifest: &Manifest) -> Result<(W, Metadata)> {
        check_complete(&self.blobs, manifest)?;
        let json = manifest_json::encode(manifest).map_err(io::Error::from)?;
        let metadata = Metadata {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            product_version: header.product_version,
            position: header.position,
            chain: header.chain,
            manifest: Part {
                sha256: Digest::of(&json),
                size_bytes: json.len() as u64,
            },
            segments: std::mem::take(&mut self.segments),
            blobs: std::mem::take(&mut self.blobs),
        };
        self.deflated(MANIFEST_NAME, &json)?;
        let json = serde_json::to_vec_pretty(&metadata).map_err(io::Error::from)?;
        self.deflated(METADATA_NAME, &json)?;
        let mut out = self.zip.finish().map_err(io::Error::from)?.into_inner();
        out.flush()?;
        Ok((out, metadata))
    }

    fn deflated(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.start(name, CompressionMethod::Deflated, bytes.len() as u64)?;
        Ok(self.zip.write_all(bytes)?)
    }

    fn start(&mut self, name: &str, method: CompressionMethod, size_bytes: u64) -> Result<()> {
        let level = (method == CompressionMethod::Deflated).then_some(LEVEL);
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .compression_level(level)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(0o644)
            // Compressed content may be a little larger than the content.
            .large_file(size_bytes >= u64::from(u32::MAX) / 2);
        Ok(self
            .zip
            .start_file(name, options)
            .map_err(io::Error::from)?)
    }
}

/// Every blob of the manifest is among `blobs`, which are ascending, and has the same size.
pub(super) fn check_complete(blobs: &[Part], manifest: &Manifest) -> Result<()> {
    for (digest, size_bytes) in manifest.blobs() {
        let found = blobs.binary_search_by(|blob| blob.sha256.cmp(&digest)).ok();
        let part = found.and_then(|at| blobs.get(at));
        if part.is_none_or(|part| part.size_bytes != size_bytes) {
            return Err(ContainerError::Missing(blob_name(&digest)));
        }
    }
    Ok(())
}

struct Digesting<'a, W> {
    inner: &'a mut W,
    hasher: Hasher,
}

impl<W: Write> Write for Digesting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..length).unwrap_or_default());
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
