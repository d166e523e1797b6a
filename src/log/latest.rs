//! The latest versions of rows that change often, as the writer left them: deciding on one, and
//! folding the next change, costs no query then.
//!
//! Invariant: what is here was true at the head of the log that the writer knows. Whenever the
//! writer doubts its head (another process appended, the connection broke, the database came back
//! without the last batches) all of it is forgotten and the generation rises; a decision that rests
//! on an earlier generation is refused as a conflict and decided anew, on the database.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stratalog_projections::{
    View,
    rows::{Change, Needs, Row, Rows},
    views::{executions, operations},
};
use stratalog_schema::StreamId;

use super::prepared::Prepared;

/// Views whose rows change while somebody waits for it.
const VIEWS: [View; 3] = [View::NodeInstances, View::Operations, View::Executions];
/// Memory for documents; beyond it all are forgotten.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Versions of streams; beyond it all are forgotten.
const VERSIONS_MAX: usize = 200_000;

/// Whether a row will soon change again. Of what executions consist of, only what runs does: they
/// are stored with all their operations at once.
fn is_kept(view: View, row: &Row) -> bool {
    match view {
        View::Operations => row.text(view, "state").is_some_and(|state| {
            matches!(state, "sending" | "sent") || operations::is_begun(state)
        }),
        View::Executions => row.text(view, "status").is_some_and(executions::is_active),
        _ => true,
    }
}

#[derive(Debug, Default)]
struct Kept {
    rows: HashMap<(View, String), Arc<Row>>,
    versions: HashMap<StreamId, i64>,
    bytes: usize,
    generation: u64,
}

/// What is known at one moment.
#[derive(Debug)]
pub struct Known<'k>(&'k Kept);

impl Known<'_> {
    /// The latest version of a row.
    pub fn row(&self, view: View, key: &str) -> Option<Arc<Row>> {
        self.0.rows.get(&(view, key.to_owned())).cloned()
    }

    /// The version of a stream that was appended to lately.
    pub fn version(&self, stream: &StreamId) -> Option<i64> {
        self.0.versions.get(stream).copied()
    }

    /// What to give as [`super::Append::rests_on`] with a decision that rests on any of it.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }
}

/// Latest rows; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Latest(Arc<Mutex<Kept>>);

impl Latest {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // each entry is replaced whole, so what a panic left is still true
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for several things that were true together. Must be quick.
    pub fn ask<T>(&self, question: impl FnOnce(&Known<'_>) -> T) -> T {
        question(&Known(&self.lock()))
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Puts what is known of the rows needed into the working set, and takes it off the list.
    pub(super) fn preload(&self, needs: &mut Needs, rows: &mut Rows) {
        let kept = self.lock();
        for view in VIEWS {
            let Some(keys) = needs.keys.get_mut(&view) else {
                continue;
            };
            keys.retain(|key| {
                let Some(row) = kept.rows.get(&(view, key.clone())) else {
                    return true;
                };
                rows.preload(view, key.clone(), Some(Row::clone(row)));
                false
            });
            if keys.is_empty() {
                needs.keys.remove(&view);
            }
        }
    }

    /// Notes what a batch has changed.
    pub(super) fn note(&self, changes: Vec<Change>, events: &[Prepared]) {
        let mut kept = self.lock();
        for change in changes {
            kept.set(change);
        }
        for prepared in events {
            let recorded = &prepared.recorded;
            kept.versions
                .insert(recorded.stream.clone(), recorded.version);
        }
        if kept.bytes > BYTES_MAX || kept.versions.len() > VERSIONS_MAX {
            kept.forget();
        }
    }

    /// Nothing is known any more.
    pub(super) fn forget(&self) {
        let mut kept = self.lock();
        kept.forget();
        kept.generation += 1;
    }
}

impl Kept {
    fn set(&mut self, change: Change) {
        let id = (change.view, change.key);
        let row = change.row.filter(|row| is_kept(change.view, row));
        let replaced = match row {
            Some(row) => {
                self.bytes += size(&row);
                self.rows.insert(id, Arc::new(row))
            }
            None => self.rows.remove(&id),
        };
        self.bytes -= replaced.as_deref().map_or(0, size);
    }

    fn forget(&mut self) {
        self.rows.clear();
        self.versions.clear();
        self.bytes = 0;
    }
}

fn size(row: &Row) -> usize {
    row.doc.len() + row.hidden.as_ref().map_or(0, String::len)
}

/// The changes worth keeping.
pub(super) fn of_interest(changes: &[Change]) -> Vec<Change> {
    let kept = changes.iter().filter(|change| VIEWS.contains(&change.view));
    kept.cloned().collect()
}
