//! Tar streams. Long names and pax records are read here, under limits, not by the tar crate.
use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use tar::{Entry, EntryType, PaxExtensions};

use super::guard::{Guard, StreamLimit, deliver};
use super::{ArchiveError, Member, OnFile};
use crate::files::error::Result;
use crate::files::path::{PATH_BYTES_MAX, PathError};

/// Size of headers and of the padding.
pub(super) const BLOCK_BYTES: usize = 512;
/// Most bytes of pax records for one member.
const PAX_BYTES_MAX: usize = 64 * 1024;

/// Whether the block is a tar header: its checksum is right.
pub(super) fn is_header(head: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(head) else {
        return false;
    };
    let sum = |part: &[u8]| part.iter().map(|b| u32::from(*b)).sum::<u32>();
    let (before, rest) = block.split_at(148);
    let found = sum(before) + 8 * u32::from(b' ') + sum(rest.get(8..).unwrap_or_default());
    let header = tar::Header::from_byte_slice(block);
    // A block of zeros is the end of an archive without members.
    block.iter().all(|b| *b == 0) || header.cksum().is_ok_and(|declared| declared == found)
}

pub(super) fn walk(
    source: &mut dyn Read,
    guard: &mut Guard,
    on_file: &mut OnFile<'_>,
) -> Result<()> {
    let state = Rc::new(RefCell::new(MeterState::default()));
    let meter = Meter {
        inner: source,
        limit: guard.stream_limit(),
        state: Rc::clone(&state),
    };
    let mut archive = tar::Archive::new(meter);
    let explain = |error: io::Error| state.borrow().explain(&error);
    let mut extensions = Extensions::default();
    let mut is_first = true;
    for entry in archive.entries()?.raw(true) {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                return Err(match explain(error) {
                    ArchiveError::Damaged(_) if is_first => ArchiveError::UnknownFormat,
                    known => known,
                }
                .into());
            }
        };
        is_first = false;
        let kind = entry.header().entry_type();
        if extensions.take_in(kind, &mut entry, &explain)? {
            continue;
        }
        let extensions = std::mem::take(&mut extensions);
        member(&mut entry, &extensions, guard, on_file, &explain)?;
    }
    if is_first && state.borrow().bytes == 0 {
        return Err(ArchiveError::UnknownFormat.into());
    }
    if state.borrow().is_at_end {
        // The end was not announced by a block of zeros.
        return Err(ArchiveError::Truncated.into());
    }
    // Reads the padding, so that the checksum behind it is compared.
    io::copy(&mut archive.into_inner(), &mut io::sink())
        .map(drop)
        .map_err(|e| explain(e).into())
}

fn member<R: Read>(
    entry: &mut Entry<'_, R>,
    extensions: &Extensions,
    guard: &mut Guard,
    on_file: &mut OnFile<'_>,
    explain: &dyn Fn(io::Error) -> ArchiveError,
) -> Result<()> {
    let header = entry.header();
    let name = match &extensions.path {
        Some(name) => name.clone(),
        None => header.path_bytes().into_owned(),
    };
    let name = String::from_utf8(name).map_err(|error| {
        let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
        ArchiveError::Path {
            name,
            source: PathError::Encoding,
        }
    })?;
    let number = |value: io::Result<u64>| value.map_err(|e| ArchiveError::Damaged(e.to_string()));
    let size_bytes = number(header.entry_size())?;
    if extensions.size_bytes.is_some_and(|size| size != size_bytes) || extensions.is_sparse {
        return Err(ArchiveError::Special { name }.into());
    }
    let mode = header
        .mode()
        .map_err(|e| ArchiveError::Damaged(e.to_string()))?;
    let mtime_s = i64::try_from(number(header.mtime())?).unwrap_or_default();
    let mtime_us = extensions.mtime_us.or(mtime_s.checked_mul(1_000_000));
    match header.entry_type() {
        EntryType::Directory => Ok(guard.directory(&name)?),
        // Archives older than the directory type mark them by the name alone.
        EntryType::Regular if name.ends_with('/') => Ok(guard.directory(&name)?),
        EntryType::Regular | EntryType::Continuous => {
            let path = guard.file(&name, size_bytes)?;
            let member = Member {
                path,
                mode: mode & 0o777,
                mtime_us,
                size_bytes,
            };
            deliver(&member, entry, on_file, explain)
        }
        _ => Err(ArchiveError::Special { name }.into()),
    }
}

/// What came before a member and describes it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    mtime_us: Option<i64>,
    is_sparse: bool,
}

impl Extensions {
    /// True when the entry was such a description.
    fn take_in<R: Read>(
        &mut self,
        kind: EntryType,
        entry: &mut Entry<'_, R>,
        explain: &dyn Fn(io::Error) -> ArchiveError,
    ) -> Result<bool, ArchiveError> {
        match kind {
            EntryType::GNULongName => {
                let too_long = ArchiveError::Path {
                    name: String::new(),
                    source: PathError::TooLong,
                };
                let mut name = read_capped(entry, PATH_BYTES_MAX + 1, too_long, explain)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                self.path = Some(name);
            }
            EntryType::XHeader => {
                let limit = PAX_BYTES_MAX as u64;
                let too_long = ArchiveError::Limit {
                    what: "bytes of pax records",
                    limit,
                };
                let records = read_capped(entry, PAX_BYTES_MAX, too_long, explain)?;
                self.take_pax(&records)?;
            }
            // Written by `git archive`: a comment for the whole archive.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_pax(&mut self, records: &[u8]) -> Result<(), ArchiveError> {
        for record in PaxExtensions::new(records) {
            let damaged = |what: String| ArchiveError::Damaged(what);
            let record = record.map_err(|error| damaged(error.to_string()))?;
            let text = || {
                record
                    .value()
                    .map_err(|_| ArchiveError::Damaged("pax record is not text".into()))
            };
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = text()?.parse();
                    self.size_bytes = Some(size.map_err(|_| damaged("pax size".into()))?);
                }
                b"mtime" => self.mtime_us = Some(parse_mtime_us(text()?)?),
                key if key.starts_with(b"GNU.sparse") => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Seconds with up to six digits behind the point that count.
fn parse_mtime_us(text: &str) -> Result<i64, ArchiveError> {
    let damaged = || ArchiveError::Damaged("pax mtime".into());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Err(damaged());
    }
    let micros: i64 = format!("{fraction:0<6.6}").parse().map_err(|_| damaged())?;
    let seconds: i64 = whole.parse().map_err(|_| damaged())?;
    let micros = if whole.starts_with('-') {
        -micros
    } else {
        micros
    };
    seconds
        .checked_mul(1_000_000)
        .and_then(|us| us.checked_add(micros))
        .ok_or_else(damaged)
}

fn read_capped<R: Read>(
    entry: &mut Entry<'_, R>,
    bytes_max: usize,
    too_long: ArchiveError,
    explain: &dyn Fn(io::Error) -> ArchiveError,
) -> Result<Vec<u8>, ArchiveError> {
    let size_bytes = entry.size();
    if size_bytes > bytes_max as u64 {
        return Err(too_long);
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(explain)?;
    if bytes.len() as u64 != size_bytes {
        return Err(ArchiveError::Truncated);
    }
    Ok(bytes)
}

/// What the meter saw, also for those who only get an error from above it.
#[derive(Default)]
struct MeterState {
    bytes: u64,
    is_at_end: bool,
    tripped: Option<ArchiveError>,
}

impl MeterState {
    fn explain(&self, error: &io::Error) -> ArchiveError {
        match &self.tripped {
            Some(tripped) => tripped.clone(),
            None if self.is_at_end || error.kind() == io::ErrorKind::UnexpectedEof => {
                ArchiveError::Truncated
            }
            None => ArchiveError::Damaged(error.to_string()),
        }
    }
}

/// Counts what a decoder yields and stops at the limits.
struct Meter<'a> {
    inner: &'a mut dyn Read,
    limit: StreamLimit,
    state: Rc<RefCell<MeterState>>,
}

impl Read for Meter<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let mut state = self.state.borrow_mut();
        state.bytes += length as u64;
        state.is_at_end |= length == 0 && !buffer.is_empty();
        if let Err(error) = self.limit.check(state.bytes) {
            state.tripped = Some(error);
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(length)
    }
}
