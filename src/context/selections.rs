//! Rows of lists in memory, as sets: brought up to date when somebody asks, by what has changed
//! since.
use std::{
    array,
    sync::atomic::{AtomicI64, Ordering},
};

use stratalog_projections::{
    ListQuery, View,
    sets::{self, Rows, Sets},
};
use tokio::sync::RwLock;

use super::Changes;
use crate::{error::Error, store::View as Reader};

/// Keys told with a total; more rows are found faster in the order of the list.
const TOLD_MAX: u64 = 1_000;

/// Which rows a query admits.
#[derive(Debug)]
pub enum Keys {
    /// Those of its page, in order.
    Page(Vec<String>),
    /// All of them, pages aside, as these are few.
    All(Vec<String>),
    /// Too many to be told.
    Untold,
}

/// What a query admits.
#[derive(Debug)]
pub struct Chosen {
    /// How many rows, pages aside.
    pub total: i64,
    /// Which.
    pub keys: Keys,
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
        self.ask((changes, reader), query, |sets, rows| Chosen {
            total: total(&rows),
            keys: match sets.page(query, &rows) {
                Some(page) => Keys::Page(page),
                None if rows.len() <= TOLD_MAX => Keys::All(sets.keys(&rows)),
                None => Keys::Untold,
            },
        })
        .await
    }

    /// How many rows that is.
    ///
    /// # Errors
    /// Database errors.
    pub async fn count(
        &self,
        changes: &Changes,
        reader: &Reader,
        query: &ListQuery,
    ) -> Result<Option<i64>, Error> {
        self.ask((changes, reader), query, |_, rows| total(&rows))
            .await
    }

    async fn ask<T>(
        &self,
        (changes, reader): (&Changes, &Reader),
        query: &ListQuery,
        answer: impl Fn(&Sets, Rows) -> T,
    ) -> Result<Option<T>, Error> {
        let (view, head) = (query.view, reader.head());
        if !sets::are_kept(view) {
            return Ok(None);
        }
        let answer = |sets: &Sets| {
            // the sets may be ahead of the reader
            let rows = (sets.changed() <= head).then(|| sets.chosen(query))??;
            Some(answer(sets, rows))
        };
        let kept = &self.views[view as usize];
        let log: Log = (changes.epoch(), self.replaced.load(Ordering::Acquire));
        let is_current = |of: &Of| {
            of.log == log
                && (head <= of.sets.known() || changes.none_since(of.sets.known(), &[view], head))
        };
        if let Some(of) = &*kept.read().await
            && is_current(of)
        {
            return Ok(answer(&of.sets));
        }
        let mut kept = kept.write().await;
        let before = kept.take();
        let of = match before.filter(|of| of.log == log) {
            Some(mut of) => {
                if !is_current(&of) {
                    Box::pin(of.sets.refresh(reader)).await?;
                }
                of
            }
            None => {
                let sets = Box::pin(Sets::load(reader, view)).await?;
                Of { sets, log }
            }
        };
        let of = kept.insert(of);
        Ok(answer(&of.sets))
    }

    /// The log was replaced: what is known of it is void.
    pub fn forget(&self) {
        self.replaced.fetch_add(1, Ordering::AcqRel);
    }
}

fn total(rows: &Rows) -> i64 {
    i64::try_from(rows.len()).unwrap_or(i64::MAX)
}
