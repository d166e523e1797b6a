//! Which contents of files the log speaks of: those of the resource directory as it is now, and
//! those it had once.
use std::collections::{BTreeMap, HashMap};

use stratalog_schema::Event;

use super::{Fault, Reason, fault::at};
use crate::log::chain::Hash;

/// A file content named by the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Position of the event that stored the file.
    pub position: i64,
    /// Path of the file.
    pub path: String,
    /// SHA-256 of its content.
    pub digest: Hash,
}

impl Content {
    /// The content is not there.
    pub fn missing(&self) -> Fault {
        let (path, digest) = (self.path.clone(), hex::encode(self.digest));
        at(self.position, Reason::FileMissing { path, digest })
    }

    /// The content is another one.
    pub fn changed(&self) -> Fault {
        let (path, digest) = (self.path.clone(), hex::encode(self.digest));
        at(self.position, Reason::FileChanged { path, digest })
    }
}

/// The contents that events named.
#[derive(Debug, Clone, Default)]
pub struct Files {
    current: BTreeMap<String, (i64, Hash)>,
    first: HashMap<Hash, (i64, String)>,
}

impl Files {
    /// Notes what an event stored or removed.
    pub(super) fn note(&mut self, position: i64, event: &Event) -> Result<(), Fault> {
        match event {
            Event::FilesStored(stored) => {
                for file in &stored.files {
                    let digest = Hash::try_from(file.digest.as_slice()).map_err(|_| {
                        let what = format!("the digest of {} is none", file.path);
                        at(position, Reason::Unreadable(what))
                    })?;
                    self.current.insert(file.path.clone(), (position, digest));
                    let first = self.first.entry(digest);
                    first.or_insert_with(|| (position, file.path.clone()));
                }
            }
            Event::FilesRemoved(removed) => {
                for path in &removed.paths {
                    self.current.remove(path);
                }
                for prefix in &removed.prefixes {
                    self.current.retain(|path, _| !path.starts_with(prefix));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What the resource directory needs now: each content once, in order of position.
    pub fn current(&self) -> Vec<Content> {
        let mut by_digest: HashMap<Hash, Content> = HashMap::new();
        for (path, (position, digest)) in &self.current {
            let content = Content {
                position: *position,
                path: path.clone(),
                digest: *digest,
            };
            let known = by_digest.entry(*digest).or_insert_with(|| content.clone());
            if content.position < known.position {
                *known = content;
            }
        }
        sorted(by_digest.into_values())
    }

    /// What only earlier states of the resource directory need.
    pub fn former(&self) -> Vec<Content> {
        let current: std::collections::HashSet<&Hash> =
            self.current.values().map(|(_, digest)| digest).collect();
        let former = self.first.iter().filter(|(d, _)| !current.contains(d));
        sorted(former.map(|(digest, (position, path))| Content {
            position: *position,
            path: path.clone(),
            digest: *digest,
        }))
    }
}

fn sorted(contents: impl Iterator<Item = Content>) -> Vec<Content> {
    let mut contents: Vec<Content> = contents.collect();
    contents.sort_by(|a, b| (a.position, &a.path).cmp(&(b.position, &b.path)));
    contents
}
