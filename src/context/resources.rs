//! Keeps the resource directory in step with the log.
use std::sync::Arc;

use stratalog_projections::{
    Condition, Connection, ListQuery, Reader, Scope, View, views::files::File,
};
use stratalog_schema::{Event, Recorded, events};

use crate::{
    error::Error,
    files::{
        Digest,
        manifest::{Change, Directory, Entry, Manifest, Removal},
        path::ResourcePath,
    },
    log::append::{Batch, Observer},
};

/// Feeds a resource directory; clones feed the same one.
#[derive(Debug, Clone)]
pub struct Resources(pub Arc<Directory>);

impl Resources {
    /// Position of the last event that was taken in.
    pub fn position(&self) -> i64 {
        i64::try_from(self.0.load().position).unwrap_or(i64::MAX)
    }

    /// Whatever is read next counts, even if its position is lower.
    pub(super) fn forget_position(&self) {
        let current = self.0.load();
        self.0.replace(0, current.manifest.clone());
    }

    /// Reads the whole directory from its view.
    ///
    /// # Errors
    /// Database errors; rows that name no path or digest.
    pub async fn read_from<C: Connection>(&self, reader: &Reader<C>) -> Result<(), Error> {
        let all = ListQuery::all(View::Files, Scope::Everything);
        let manifest = manifest(reader.select_as(&all).await?)?;
        let position = u64::try_from(reader.head()).map_err(Error::internal)?;
        if position >= self.0.load().position {
            self.0.replace(position, manifest);
        }
        Ok(())
    }

    /// A path and everything below it at the moment the reader looks at.
    ///
    /// # Errors
    /// Database errors; rows that name no path or digest.
    pub async fn below<C: Connection>(
        reader: &Reader<C>,
        path: &ResourcePath,
    ) -> Result<Manifest, Error> {
        // the condition is wider than the path, which does no harm: who asks knows the path
        let prefix = vec![path.as_str().to_owned()];
        let near = ListQuery::all(View::Files, Scope::Everything)
            .with(Condition::StartsWith("path".to_owned(), prefix));
        manifest(reader.select_as(&near).await?)
    }

    /// Takes in events that follow.
    pub fn apply(&self, events: &[Recorded]) {
        for recorded in events {
            let changes = match changes(&recorded.event) {
                Ok(changes) if changes.is_empty() => continue,
                Ok(changes) => changes,
                Err(error) => {
                    // such an event cannot be stored by this version, and the log keeps it
                    let position = recorded.position;
                    tracing::error!(%error, position, "an event of the resource directory is passed over");
                    continue;
                }
            };
            let position = u64::try_from(recorded.position).unwrap_or_default();
            self.0.apply(position, &changes);
        }
    }
}

impl Observer for Resources {
    fn committed(&self, batch: &Batch) {
        self.apply(&batch.events);
    }

    fn went_back(&self, head: i64) {
        // read anew together with the people, who notice the same
        let manifest = self.0.load().manifest.clone();
        self.0
            .replace(u64::try_from(head).unwrap_or_default(), manifest);
    }
}

fn manifest(files: Vec<File>) -> Result<Manifest, Error> {
    let entries = files.iter().map(|file| {
        let digest = file.digest.parse::<Digest>().map_err(Error::internal)?;
        let rest = (file.size_bytes, file.mode, file.modified_at_ms);
        entry(&file.path, digest, rest)
    });
    entries.collect()
}

fn entry(
    path: &str,
    digest: Digest,
    (size_bytes, mode, modified_at_ms): (i64, u32, i64),
) -> Result<(ResourcePath, Entry), Error> {
    let path = ResourcePath::parse(path).map_err(Error::internal)?;
    let entry = Entry {
        digest,
        size_bytes: u64::try_from(size_bytes).map_err(Error::internal)?,
        mode,
        mtime_us: modified_at_ms * 1_000,
    };
    Ok((path, entry))
}

fn stored(file: &events::File) -> Result<(ResourcePath, Entry), Error> {
    let digest = Digest::from_slice(&file.digest)
        .ok_or_else(|| Error::internal(anyhow::anyhow!("{} has no digest", file.path)))?;
    entry(
        &file.path,
        digest,
        (file.size_bytes, file.mode, file.modified_at_ms),
    )
}

fn changes(event: &Event) -> Result<Vec<Change>, Error> {
    match event {
        Event::FilesStored(e) => {
            let entries = e.files.iter().map(stored).collect::<Result<_, _>>()?;
            Ok(vec![Change::FilesStored { entries }])
        }
        Event::FilesRemoved(e) => {
            let parse = |path: &str| ResourcePath::parse(path).map_err(Error::internal);
            let mut changes = Vec::with_capacity(e.paths.len() + e.prefixes.len());
            for path in &e.paths {
                let target = Removal::File(parse(path)?);
                changes.push(Change::FilesRemoved { target });
            }
            for prefix in &e.prefixes {
                let target = Removal::Tree(parse(prefix.trim_end_matches('/'))?);
                changes.push(Change::FilesRemoved { target });
            }
            Ok(changes)
        }
        _ => Ok(Vec::new()),
    }
}
