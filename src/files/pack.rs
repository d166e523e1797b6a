//! Packs trees into archives, the same bytes for the same tree: sorted, no owner, no clock.
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use futures::Stream;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;

use super::blobs::BlobStore;
use super::digest::Digest;
use super::error::{Error, Result};
use super::path::ResourcePath;

#[cfg(test)]
mod tests;

/// Pieces of a packed stream on their way to the client.
const QUEUE_CHUNKS: usize = 8;
const CHUNK_BYTES: usize = 64 * 1024;
/// One level everywhere: packed bytes may be compared.
const LEVEL: u32 = 6;

/// Where the content of a packed file comes from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A blob.
    Blob(Digest),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// A file to pack.
#[derive(Debug, Clone)]
pub struct PackedFile {
    /// Path in the archive.
    pub path: ResourcePath,
    /// Permission bits.
    pub mode: u32,
    /// Time to record in tar, seconds since 1970; zip gets a fixed one.
    pub mtime_s: i64,
    /// Length of the content.
    pub size_bytes: u64,
    /// The content.
    pub content: Content,
}

/// Kind of archive to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFormat {
    /// Tar in gzip.
    TarGz,
    /// Zip, deflated.
    Zip,
}

/// Writes the archive. The files are sorted here. Blocks.
pub fn pack(
    blobs: &BlobStore,
    format: PackFormat,
    mut files: Vec<PackedFile>,
    out: &mut dyn Write,
) -> Result<()> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    match format {
        PackFormat::TarGz => pack_tar_gz(blobs, &files, out),
        PackFormat::Zip => pack_zip(blobs, &files, out),
    }
}

/// Packs on a blocking thread while the stream is read; dropping the stream stops it.
pub fn pack_stream(
    blobs: BlobStore,
    format: PackFormat,
    files: Vec<PackedFile>,
) -> impl Stream<Item = Result<Bytes>> + Send + Sync + 'static {
    let (sender, receiver) = mpsc::channel(QUEUE_CHUNKS);
    tokio::task::spawn_blocking(move || {
        let failures = sender.clone();
        let mut out = io::BufWriter::with_capacity(CHUNK_BYTES, Sender(sender));
        let outcome =
            pack(&blobs, format, files, &mut out).and_then(|()| out.flush().map_err(Error::from));
        // A failure must end the stream with an error: an archive cut short looks complete to some
        // clients. When nobody listens any more there is nobody to tell.
        if let Err(error) = outcome {
            let _ = failures.blocking_send(Err(error));
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

fn pack_tar_gz(blobs: &BlobStore, files: &[PackedFile], out: &mut dyn Write) -> Result<()> {
    const OS_UNKNOWN: u8 = 255;
    let gz = GzBuilder::new().mtime(0).operating_system(OS_UNKNOWN);
    let mut archive = tar::Builder::new(gz.write(out, Compression::new(LEVEL)));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(file.mode & 0o777);
        header.set_mtime(u64::try_from(file.mtime_s).unwrap_or_default());
        header.set_size(file.size_bytes);
        header.set_uid(0);
        header.set_gid(0);
        let content = exact(blobs, file)?;
        archive.append_data(&mut header, file.path.as_str(), content)?;
    }
    archive.into_inner()?.finish()?;
    Ok(())
}

fn pack_zip(blobs: &BlobStore, files: &[PackedFile], out: &mut dyn Write) -> Result<()> {
    let mut archive = zip::ZipWriter::new_stream(out);
    for file in files {
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(LEVEL.into()))
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(file.mode & 0o777)
            .large_file(file.size_bytes >= u32::MAX.into());
        archive
            .start_file(file.path.as_str(), options)
            .map_err(io::Error::from)?;
        io::copy(&mut exact(blobs, file)?, &mut archive)?;
    }
    archive.finish().map_err(io::Error::from)?;
    Ok(())
}

/// The content, checked to have the length that the header announces.
fn exact(blobs: &BlobStore, file: &PackedFile) -> Result<impl Read + use<>> {
    let content: Box<dyn Read> = match &file.content {
        Content::Blob(digest) => Box::new(blobs.open_blocking(digest)?),
        Content::Bytes(bytes) => Box::new(io::Cursor::new(bytes.clone())),
    };
    Ok(Exact {
        content,
        left: file.size_bytes,
    })
}

struct Exact {
    content: Box<dyn Read>,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.content.read(buffer)?;
        let is_short = length == 0 && self.left > 0 && !buffer.is_empty();
        match self.left.checked_sub(length as u64) {
            Some(left) if !is_short => self.left = left,
            _ => return Err(io::Error::other("blob has another length than its entry")),
        }
        Ok(length)
    }
}

/// The writing end of a packed stream.
struct Sender(mpsc::Sender<Result<Bytes>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
