//! The resource directory as an immutable value, and the handle that swaps it.
//!
//! A manifest maps paths to entries; the bytes are blobs. It is a persistent sorted map, so a
//! change of one file in 100,000 copies a few nodes and readers keep what they have loaded.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, SecondsFormat, Utc};
use imbl::OrdMap;

use super::digest::{Digest, Hasher};
use super::path::ResourcePath;

#[cfg(test)]
mod tests;

/// A file of the resource directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The blob with its content.
    pub digest: Digest,
    /// Length of the content.
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Time of the last change, microseconds since 1970.
    pub mtime_us: i64,
}

impl Entry {
    /// The time as clients compare it: Python's `isoformat` of an UTC time.
    pub fn mtime_iso(&self) -> String {
        let time = DateTime::<Utc>::from_timestamp_micros(self.mtime_us).unwrap_or_default();
        let digits = match time.timestamp_subsec_micros() {
            0 => SecondsFormat::Secs,
            _ => SecondsFormat::Micros,
        };
        time.to_rfc3339_opts(digits, false)
    }
}

/// A change of the resource directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Files appeared or got new content.
    FilesStored {
        /// Path and entry of each.
        entries: Vec<(ResourcePath, Entry)>,
    },
    /// Files are gone.
    FilesRemoved {
        /// Which.
        target: Removal,
    },
}

/// What a removal takes away. What is not there is removed without complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// One file.
    File(ResourcePath),
    /// Everything below a directory.
    Tree(ResourcePath),
}

/// The resource directory at one moment. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    files: OrdMap<ResourcePath, Entry>,
}

impl Manifest {
    /// The entry of a file.
    pub fn get(&self, path: &ResourcePath) -> Option<&Entry> {
        self.files.get(path)
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Every file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourcePath, &Entry)> {
        self.files.iter()
    }

    /// Every file below a directory at any depth, sorted by path.
    pub fn below(&self, directory: &ResourcePath) -> impl Iterator<Item = (&ResourcePath, &Entry)> {
        // The character after `/` bounds the names that start with `directory/`.
        let first = format!("{directory}/");
        let end = format!("{directory}0");
        self.files.range::<_, str>((
            Bound::Included(first.as_str()),
            Bound::Excluded(end.as_str()),
        ))
    }

    /// Whether there is a file below the directory.
    pub fn has_directory(&self, directory: &ResourcePath) -> bool {
        self.below(directory).next().is_some()
    }

    /// The stored path that keeps `path` from being a file: a directory of that name, or a file
    /// where `path` needs a directory.
    pub fn conflict(&self, path: &ResourcePath) -> Option<&ResourcePath> {
        let text = path.as_str();
        let parents = text.match_indices('/').filter_map(|(at, _)| text.get(..at));
        parents
            .filter_map(|parent| self.files.get_key_value(parent))
            .map(|(stored, _)| stored)
            .next()
            .or_else(|| self.below(path).next().map(|(stored, _)| stored))
    }

    /// Folds one change in.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::FilesStored { entries } => {
                for (path, entry) in entries {
                    self.files.insert(path.clone(), *entry);
                }
            }
            Change::FilesRemoved {
                target: Removal::File(path),
            } => {
                self.files.remove(path);
            }
            Change::FilesRemoved {
                target: Removal::Tree(directory),
            } => {
                let gone: Vec<_> = self
                    .below(directory)
                    .map(|(path, _)| path.clone())
                    .collect();
                for path in gone {
                    self.files.remove(&path);
                }
            }
        }
    }

    /// Digest over all entries in order: equal for equal directories, whatever their history.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, entry) in &self.files {
            hasher.update(&(path.as_str().len() as u64).to_be_bytes());
            hasher.update(path.as_str().as_bytes());
            hasher.update(entry.digest.as_bytes());
            hasher.update(&entry.size_bytes.to_be_bytes());
            hasher.update(&entry.mode.to_be_bytes());
            hasher.update(&entry.mtime_us.to_be_bytes());
        }
        hasher.finish().0
    }

    /// Every blob the directory needs, once, with its size.
    pub fn blobs(&self) -> BTreeMap<Digest, u64> {
        self.files
            .values()
            .map(|entry| (entry.digest, entry.size_bytes))
            .collect()
    }
}

/// Rebuilds a manifest from stored rows; a later entry of the same path wins.
impl FromIterator<(ResourcePath, Entry)> for Manifest {
    fn from_iter<I: IntoIterator<Item = (ResourcePath, Entry)>>(entries: I) -> Self {
        Self {
            files: entries.into_iter().collect(),
        }
    }
}

/// The directory after the event at `position`.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// Position of the last event that was folded in.
    pub position: u64,
    /// The files.
    pub manifest: Manifest,
}

/// Shared handle on the directory: readers load without waiting, one projection writes.
#[derive(Debug, Default)]
pub struct Directory {
    current: ArcSwap<Current>,
}

impl Directory {
    /// Starts from a rebuilt manifest.
    pub fn new(position: u64, manifest: Manifest) -> Self {
        Self {
            current: ArcSwap::from_pointee(Current { position, manifest }),
        }
    }

    /// The directory as it is now; stays as it is for whoever holds it.
    pub fn load(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// The entry of a file now.
    pub fn get(&self, path: &ResourcePath) -> Option<Entry> {
        self.current.load().manifest.get(path).copied()
    }

    /// Folds the changes of the event at `position` in. Changes that are already in (position not
    /// above the current one) are skipped, so events may be delivered again. True when applied.
    pub fn apply(&self, position: u64, changes: &[Change]) -> bool {
        let before = self.current.rcu(|current| {
            if position <= current.position {
                return Arc::clone(current);
            }
            let mut manifest = current.manifest.clone();
            for change in changes {
                manifest.apply(change);
            }
            Arc::new(Current { position, manifest })
        });
        position > before.position
    }

    /// Puts a rebuilt manifest in place of the current one.
    pub fn replace(&self, position: u64, manifest: Manifest) {
        self.current.store(Arc::new(Current { position, manifest }));
    }
}
