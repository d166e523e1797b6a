//! Rows of lists in memory, as sets: brought up to date when somebody asks, by what has changed
//! since.
use std::{
    array,
    sync::atomic::{AtomicI64, Ordering},
};

use stratalog_projections::{
    ListQuery, View,
    sets::{self, Sets},
};
use tokio::sync::RwLock;

use super::Changes;
use crate::{error::Error, store::View as Reader};

/// Keys told with a total; more rows are found faster in the order of the list.
const TOLD_MAX: u64 = 1_000;

/// What a query admits, pages aside.
#[derive(Debug)]
pub struct Chosen {
    /// How many rows.
    pub total: i64,
    /// Their keys, where they are few.
    pub keys: Option<Vec<String>>,
}

/// Sets of a view, and which log they are of.
#[derive(Debug)]
struct Of {
    sets: Sets,
    log: Log,
}

/// How often the log went back, and how often it was replaced.
type Log = (i64, i64);

/// Sets of all views that are kept so.
#[derive(Debug)]
pub struct Selections {
    replaced: AtomicI64,
    views: [RwLock<Option<Of>>; View::ALL.len()],
}

impl Default for Selections {
    fn default() -> Self {
        Self {
            replaced: AtomicI64::default(),
            views: array::from_fn(|_| RwLock::default()),
        }
    }
}

impl Selections {
    /// What a query admits at the head that a reader of the present sees; nothing where only the
    /// database can say.
    ///
    /// # Errors
    /// Database errors.
    pub async fn chosen(
        &self,
        changes: &Changes,
        reader: &Reader,
        query: &ListQuery,
    ) -> Result<Option<Chosen>, Error> {
        let (view, head) = (query.view, reader.head());
        if !sets::are_kept(view) {
            return Ok(None);
        }
        let kept = &self.views[view as usize];
        let log: Log = (changes.epoch(), self.replaced.load(Ordering::Acquire));
        let is_current = |of: &Of| {
            of.log == log
                && (head <= of.sets.known() || changes.none_since(of.sets.known(), &[view], head))
        };
        if let Some(of) = &*kept.read().await
            && is_current(of)
        {
            return Ok(choose(&of.sets, query, head));
        }
        let mut kept = kept.write().await;
        let before = kept.take();
        let of = match before.filter(|of| of.log == log) {
            Some(mut of) => {
                if !is_current(&of) {
                    Box::pin(of.sets.refresh(reader)).await?;
                }
                Some(of)
            }
            None => Box::pin(Sets::load(reader, view))
                .await?
                .map(|sets| Of { sets, log }),
        };
        let chosen = of.as_ref().and_then(|of| choose(&of.sets, query, head));
        *kept = of;
        Ok(chosen)
    }

    /// The log was replaced: what is known of it is void.
    pub fn forget(&self) {
        self.replaced.fetch_add(1, Ordering::AcqRel);
    }
}

fn choose(sets: &Sets, query: &ListQuery, head: i64) -> Option<Chosen> {
    // the sets may be ahead of the reader
    if sets.changed() > head {
        return None;
    }
    let rows = sets.chosen(query)?;
    let is_told = rows.len() <= TOLD_MAX;
    Some(Chosen {
        total: i64::try_from(rows.len()).unwrap_or(i64::MAX),
        keys: is_told.then(|| sets.keys(&rows)),
    })
}
