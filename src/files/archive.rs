//! Archives from strangers: zip, tar, tar.gz, tar.bz2, told apart by content, unpacked in limits.
//!
//! A member is either a plain file with a harmless path, or a directory; anything else refuses the
//! whole archive. Nothing is taken from an archive's word: sizes are counted while reading.
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::blobs::{BlobStore, Staged, Stored};
use super::error::{Result, blocking};
use super::path::ResourcePath;

pub use error::ArchiveError;
use guard::Guard;

mod error;
mod guard;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

/// How much an archive may unpack to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// All files together.
    pub total_bytes_max: u64,
    /// One file.
    pub entry_bytes_max: u64,
    /// Files and directories.
    pub entries_max: u64,
    /// Unpacked by packed size; checked once more than `ratio_free_bytes` were unpacked.
    pub ratio_max: u64,
    /// Unpacked size below which no ratio is suspicious.
    pub ratio_free_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total_bytes_max: 1 << 30,
            entry_bytes_max: 1 << 30,
            entries_max: 100_000,
            ratio_max: 200,
            ratio_free_bytes: 8 << 20,
        }
    }
}

/// Kind of an archive, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Zip.
    Zip,
    /// Plain tar.
    Tar,
    /// Tar in gzip.
    TarGz,
    /// Tar in bzip2.
    TarBz2,
}

impl Format {
    /// Recognises an archive by its first bytes (512 are enough).
    pub fn detect(head: &[u8]) -> Option<Self> {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0x1f, 0x8b, ..] => Some(Self::TarGz),
            [b'B', b'Z', b'h', ..] => Some(Self::TarBz2),
            _ => tar::is_header(head).then_some(Self::Tar),
        }
    }

    /// File name extension, without a dot in front.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarBz2 => "tar.bz2",
        }
    }
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it belongs, below the root of the archive.
    pub path: ResourcePath,
    /// Permission bits only.
    pub mode: u32,
    /// Time of the last change, microseconds since 1970; zip does not tell it reliably.
    pub mtime_us: Option<i64>,
    /// Length as declared; reading yields exactly that or fails.
    pub size_bytes: u64,
}

/// Receives each file; it may read less than everything.
pub type OnFile<'a> = dyn FnMut(&Member, &mut dyn Read) -> Result<()> + 'a;

/// What was in an archive, apart from the files' content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Kind of the archive.
    pub format: Format,
    /// Names at the top level, with whether each is a directory.
    pub roots: BTreeSet<(String, bool)>,
}

impl Summary {
    /// The one directory everything lies in, as a blueprint archive must have it.
    pub fn single_directory(&self) -> Result<&str, ArchiveError> {
        match self.roots.iter().collect::<Vec<_>>().as_slice() {
            [(name, true)] => Ok(name),
            _ => Err(ArchiveError::NoSingleDirectory),
        }
    }
}

/// Reads an archive from its start to its end, handing each file to `on_file`. Blocks.
pub fn walk<R: Read + Seek>(
    source: &mut R,
    limits: &Limits,
    on_file: &mut OnFile<'_>,
) -> Result<Summary> {
    let packed_bytes = source.seek(SeekFrom::End(0))?;
    source.rewind()?;
    let mut head = Vec::with_capacity(tar::BLOCK_BYTES);
    source
        .by_ref()
        .take(tar::BLOCK_BYTES as u64)
        .read_to_end(&mut head)?;
    source.rewind()?;
    let format = Format::detect(&head).ok_or(ArchiveError::UnknownFormat)?;
    let mut guard = Guard::new(*limits, packed_bytes);
    match format {
        Format::Zip => zip::walk(source, packed_bytes, &mut guard, on_file)?,
        Format::Tar => tar::walk(source, &mut guard, on_file)?,
        Format::TarGz => {
            tar::walk(
                &mut flate2::read::MultiGzDecoder::new(source),
                &mut guard,
                on_file,
            )?;
        }
        Format::TarBz2 => {
            tar::walk(
                &mut bzip2::read::MultiBzDecoder::new(source),
                &mut guard,
                on_file,
            )?;
        }
    }
    Ok(Summary {
        format,
        roots: guard.into_roots(),
    })
}

/// The number of members that a zip declares, before anything of it is read into memory.
pub(crate) fn count_zip_entries<R: Read + Seek>(source: &mut R) -> Result<u64> {
    let size_bytes = source.seek(SeekFrom::End(0))?;
    zip::count_entries(source, size_bytes)
}

/// Unpacks into a directory that must be empty or missing; it is left half filled on failure.
pub async fn unpack_to_directory(
    mut archive: File,
    limits: Limits,
    directory: &Path,
) -> Result<Summary> {
    let directory = directory.to_owned();
    blocking(move || {
        fs::create_dir_all(&directory)?;
        if fs::read_dir(&directory)?.next().is_some() {
            return Err(ArchiveError::TargetNotEmpty.into());
        }
        walk(&mut archive, &limits, &mut |member, content| {
            let target = directory.join(member.path.as_str());
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&target)?;
            std::io::copy(content, &mut file)?;
            // Whatever the archive says, its owner may read and change what was unpacked.
            file.set_permissions(fs::Permissions::from_mode(member.mode | 0o600))?;
            Ok(())
        })
    })
    .await
}

/// A file that was unpacked into the blob store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedFile {
    /// What the archive said about it.
    pub member: Member,
    /// Its content.
    pub stored: Stored,
}

/// An archive in the blob store, file by file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// What was in it.
    pub summary: Summary,
    /// The files, sorted by path.
    pub files: Vec<UnpackedFile>,
}

/// Unpacks into the blob store. Nothing is committed unless the whole archive is acceptable.
pub async fn unpack_to_blobs(
    mut archive: File,
    limits: Limits,
    blobs: &BlobStore,
) -> Result<Unpacked> {
    let spool = blobs.clone();
    let (summary, mut files, staged) = blocking(move || {
        let mut files = Vec::new();
        let mut staged: Vec<Staged> = Vec::new();
        let summary = walk(&mut archive, &limits, &mut |member, content| {
            let blob = spool.stage_reader(content, member.size_bytes)?;
            files.push(UnpackedFile {
                member: member.clone(),
                stored: blob.stored(),
            });
            staged.push(blob);
            Ok(())
        })?;
        Ok((summary, files, staged))
    })
    .await?;
    blobs.commit(staged).await?;
    files.sort_by(|a, b| a.member.path.cmp(&b.member.path));
    Ok(Unpacked { summary, files })
}
