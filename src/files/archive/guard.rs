//! The limits of one archive while it is read.
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Bound;

use super::{ArchiveError, Limits, Member, OnFile};
use crate::files::error::Result;
use crate::files::path::{PATH_BYTES_MAX, PathError, ResourcePath};

/// Headers, long name and padding of one tar member.
const HEADER_BYTES_MAX: u64 = 4096;
/// What may follow the last member.
const PADDING_BYTES_MAX: u64 = 1 << 20;

/// Counts and remembers what was seen.
pub(super) struct Guard {
    limits: Limits,
    packed_bytes: u64,
    unpacked_bytes: u64,
    entries: u64,
    files: BTreeSet<ResourcePath>,
    directories: BTreeSet<ResourcePath>,
    roots: BTreeSet<(String, bool)>,
}

impl Guard {
    pub(super) fn new(limits: Limits, packed_bytes: u64) -> Self {
        Self {
            limits,
            packed_bytes,
            unpacked_bytes: 0,
            entries: 0,
            files: BTreeSet::new(),
            directories: BTreeSet::new(),
            roots: BTreeSet::new(),
        }
    }

    pub(super) fn into_roots(self) -> BTreeSet<(String, bool)> {
        self.roots
    }

    /// Limit for the decompressed stream as a whole.
    pub(super) fn stream_limit(&self) -> StreamLimit {
        StreamLimit {
            limits: self.limits,
            packed_bytes: self.packed_bytes,
        }
    }

    /// Refuses numbers of entries over the limit.
    pub(super) fn check_entries(&self, entries: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.entries_max;
        if entries > limit {
            return Err(ArchiveError::Limit {
                what: "entries",
                limit,
            });
        }
        Ok(())
    }

    /// Admits a directory.
    pub(super) fn directory(&mut self, name: &str) -> Result<(), ArchiveError> {
        self.entries += 1;
        self.check_entries(self.entries)?;
        let Some(path) = member_path(name)? else {
            return Ok(());
        };
        if self.files.contains(&path) {
            return Err(ArchiveError::Duplicate {
                name: name.to_owned(),
            });
        }
        self.check_parents(name, &path)?;
        self.remember_root(&path, true);
        self.directories.insert(path);
        Ok(())
    }

    /// Admits a file of a declared size.
    pub(super) fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
    ) -> Result<ResourcePath, ArchiveError> {
        self.entries += 1;
        self.check_entries(self.entries)?;
        let limit = self.limits.entry_bytes_max;
        if size_bytes > limit {
            return Err(ArchiveError::Limit {
                what: "bytes in one file",
                limit,
            });
        }
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(size_bytes);
        let limit = self.limits.total_bytes_max;
        if self.unpacked_bytes > limit {
            return Err(ArchiveError::Limit {
                what: "bytes unpacked",
                limit,
            });
        }
        self.stream_limit().check_ratio(self.unpacked_bytes)?;
        let refuse = |source| ArchiveError::Path {
            name: shown(name),
            source,
        };
        let path = member_path(name)?.ok_or_else(|| refuse(PathError::Empty))?;
        let children = format!("{path}/");
        let has_children = self
            .files
            .range::<str, _>((Bound::Included(children.as_str()), Bound::Unbounded))
            .next()
            .is_some_and(|next| next.as_str().starts_with(&children));
        if has_children || self.files.contains(&path) || self.directories.contains(&path) {
            return Err(ArchiveError::Duplicate {
                name: name.to_owned(),
            });
        }
        self.check_parents(name, &path)?;
        self.remember_root(&path, false);
        self.files.insert(path.clone());
        Ok(path)
    }

    /// No parent of a member may be a file.
    fn check_parents(&self, name: &str, path: &ResourcePath) -> Result<(), ArchiveError> {
        let text = path.as_str();
        let mut parents = text.match_indices('/').filter_map(|(at, _)| text.get(..at));
        if parents.any(|parent| self.files.contains(parent)) {
            return Err(ArchiveError::Duplicate {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    fn remember_root(&mut self, path: &ResourcePath, is_directory: bool) {
        let mut segments = path.segments();
        if let Some(root) = segments.next() {
            self.roots
                .insert((root.to_owned(), is_directory || segments.next().is_some()));
        }
    }
}

/// How long a decompressed stream may get.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamLimit {
    limits: Limits,
    packed_bytes: u64,
}

impl StreamLimit {
    /// Refuses a stream that cannot be an archive within the limits any more.
    pub(super) fn check(&self, stream_bytes: u64) -> Result<(), ArchiveError> {
        self.check_ratio(stream_bytes)?;
        let limit = self.limits.total_bytes_max;
        let overhead = self.limits.entries_max.saturating_mul(HEADER_BYTES_MAX) + PADDING_BYTES_MAX;
        if stream_bytes > limit.saturating_add(overhead) {
            return Err(ArchiveError::Limit {
                what: "bytes unpacked",
                limit,
            });
        }
        Ok(())
    }

    /// Refuses expansion over the ratio.
    fn check_ratio(&self, unpacked_bytes: u64) -> Result<(), ArchiveError> {
        let ratio_max = self.limits.ratio_max;
        if unpacked_bytes > self.limits.ratio_free_bytes
            && unpacked_bytes > self.packed_bytes.saturating_mul(ratio_max)
        {
            return Err(ArchiveError::Bomb { ratio_max });
        }
        Ok(())
    }
}

/// Hands a file on and makes sure that its content has exactly the declared size.
pub(super) fn deliver(
    member: &Member,
    content: &mut dyn Read,
    on_file: &mut OnFile<'_>,
    explain: &dyn Fn(io::Error) -> ArchiveError,
) -> Result<()> {
    let mut exact = Exact {
        inner: content,
        left: member.size_bytes,
        fault: None,
    };
    let mut outcome = on_file(member, &mut exact);
    if outcome.is_ok() {
        // Reads what is left and, at the end, lets the decoder compare its checksum.
        outcome = io::copy(&mut exact, &mut io::sink())
            .map(drop)
            .map_err(Into::into);
    }
    match exact.fault {
        Some(Fault::Short) => Err(ArchiveError::Truncated.into()),
        Some(Fault::Long) => {
            let reason = format!("{:?} is larger than declared", member.path.as_str());
            Err(ArchiveError::Damaged(reason).into())
        }
        Some(Fault::Read(error)) => Err(explain(error).into()),
        None => outcome,
    }
}

enum Fault {
    Short,
    Long,
    Read(io::Error),
}

/// Yields exactly `left` bytes, or fails and remembers why: the receiver may hide the reason.
struct Exact<'a> {
    inner: &'a mut dyn Read,
    left: u64,
    fault: Option<Fault>,
}

impl Exact<'_> {
    fn fail(&mut self, fault: Fault, kind: io::ErrorKind) -> io::Error {
        self.fault.get_or_insert(fault);
        kind.into()
    }
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.inner.read(buffer) {
            Ok(0) if self.left > 0 => Err(self.fail(Fault::Short, io::ErrorKind::UnexpectedEof)),
            Ok(length) if length as u64 > self.left => {
                Err(self.fail(Fault::Long, io::ErrorKind::InvalidData))
            }
            Ok(length) => {
                self.left -= length as u64;
                Ok(length)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                Err(self.fail(Fault::Read(error), kind))
            }
        }
    }
}

/// The canonical path; `None` for the root itself (`./`, as `tar -C dir .` writes it).
fn member_path(name: &str) -> Result<Option<ResourcePath>, ArchiveError> {
    if name == "." || name == "./" {
        return Ok(None);
    }
    let plain = name.strip_prefix("./").unwrap_or(name);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    match ResourcePath::parse(plain) {
        Ok(path) => Ok(Some(path)),
        Err(source) => Err(ArchiveError::Path {
            name: shown(name),
            source,
        }),
    }
}

/// Names in messages are cut: they come from strangers.
fn shown(name: &str) -> String {
    name.chars().take(PATH_BYTES_MAX / 8).collect()
}
