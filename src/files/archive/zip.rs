//! Zip files.
use std::io::{self, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::ZipError;

use super::guard::{Guard, deliver};
use super::{ArchiveError, Member, OnFile};
use crate::files::error::Result;

const END_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;
const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END64_SIGNATURE: &[u8] = b"PK\x06\x06";
const LOCATOR64_SIGNATURE: &[u8] = b"PK\x06\x07";
const LOCATOR64_BYTES: u64 = 20;
const FILE_TYPE_BITS: u32 = 0o170_000;
const FILE_TYPE_REGULAR: u32 = 0o100_000;
const FILE_TYPE_DIRECTORY: u32 = 0o040_000;

pub(super) fn walk<R: Read + Seek>(
    source: &mut R,
    packed_bytes: u64,
    guard: &mut Guard,
    on_file: &mut OnFile<'_>,
) -> Result<()> {
    // Before the crate reads the directory into memory.
    let declared = count_entries(source, packed_bytes)?;
    guard.check_entries(declared)?;
    source.rewind()?;
    let mut archive = ZipArchive::new(source).map_err(explain)?;
    // Of two members with one name the crate keeps one.
    if archive.len() as u64 != declared {
        return Err(ArchiveError::Duplicate {
            name: String::new(),
        }
        .into());
    }
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(explain)?;
        let name = entry.name().to_owned();
        if entry.encrypted() {
            return Err(ArchiveError::Encrypted { name }.into());
        }
        let mode = entry.unix_mode().unwrap_or(0o644);
        let is_directory = name.ends_with('/');
        match (mode & FILE_TYPE_BITS, is_directory) {
            (0 | FILE_TYPE_DIRECTORY, true) => {
                guard.directory(&name)?;
                continue;
            }
            (0 | FILE_TYPE_REGULAR, false) => {}
            _ => return Err(ArchiveError::Special { name }.into()),
        }
        let size_bytes = entry.size();
        let path = guard.file(&name, size_bytes)?;
        let member = Member {
            path,
            mode: mode & 0o777,
            mtime_us: None,
            size_bytes,
        };
        deliver(&member, &mut entry, on_file, &|error| {
            explain(ZipError::Io(error))
        })?;
    }
    Ok(())
}

/// The number of members that the end record declares.
pub(super) fn count_entries<R: Read + Seek>(source: &mut R, size_bytes: u64) -> Result<u64> {
    let tail_bytes = size_bytes.min((END_BYTES + COMMENT_BYTES_MAX) as u64);
    let tail_start = size_bytes - tail_bytes;
    source.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    source.by_ref().take(tail_bytes).read_to_end(&mut tail)?;
    let (at, end) = tail
        .windows(END_BYTES)
        .enumerate()
        .rev()
        .find(|(at, end)| {
            let comment_bytes = number(end, 20, 2);
            end.starts_with(END_SIGNATURE) && (at + END_BYTES) as u64 + comment_bytes == tail_bytes
        })
        .ok_or(ArchiveError::Truncated)?;
    let count = number(end, 10, 2);
    let end_at = tail_start + at as u64;
    match end64_count(source, end_at)? {
        Some(count64) => Ok(count64),
        None => Ok(count),
    }
}

/// The number in the zip64 end record, when there is one.
fn end64_count<R: Read + Seek>(source: &mut R, end_at: u64) -> Result<Option<u64>> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR64_BYTES) else {
        return Ok(None);
    };
    let mut locator = [0; LOCATOR64_BYTES as usize];
    source.seek(SeekFrom::Start(locator_at))?;
    source.read_exact(&mut locator)?;
    if !locator.starts_with(LOCATOR64_SIGNATURE) {
        return Ok(None);
    }
    let record_at = number(&locator, 8, 8);
    if record_at >= locator_at {
        return Err(ArchiveError::Damaged("zip64 end record".into()).into());
    }
    let mut record = [0; 56];
    source.seek(SeekFrom::Start(record_at))?;
    source
        .read_exact(&mut record)
        .map_err(|error| explain(ZipError::Io(error)))?;
    if !record.starts_with(END64_SIGNATURE) {
        return Err(ArchiveError::Damaged("zip64 end record".into()).into());
    }
    Ok(Some(number(&record, 32, 8)))
}

/// Little-endian number of up to eight bytes; missing bytes count as zero.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let field = bytes.get(at..at + length).unwrap_or_default();
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn explain(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ArchiveError::Truncated
        }
        ZipError::UnsupportedArchive(text) if text == ZipError::PASSWORD_REQUIRED => {
            ArchiveError::Encrypted {
                name: String::new(),
            }
        }
        other => ArchiveError::Damaged(other.to_string()),
    }
}
