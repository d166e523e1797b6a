//! Answers kept in memory, each with the position it was true at.
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use stratalog_projections::Place;
use tokio::sync::{Mutex, MutexGuard};

use crate::log::telemetry::{Counts, Unpacked};

/// Answers kept; the oldest give way.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Larger answers are not worth their place.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An answer and the position it was true at.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The answer.
    pub body: Bytes,
    /// Position since which what it shows is as it is, where that is known.
    pub since: Option<i64>,
    /// The position.
    pub position: i64,
}

/// What may be kept of where the rows of lists stand.
const MARKS_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where rows of a list stand, so that a page far inside it is found from one nearby.
#[derive(Debug, Clone)]
pub enum Marks {
    /// Nobody knows; a page far inside was asked for at this position.
    Asked(i64),
    /// In even distances, at this position.
    Known(i64, Arc<[Place]>),
}

impl Marks {
    /// About how many bytes they take.
    fn size(&self, key: &str) -> u32 {
        let places = match self {
            Self::Asked(_) => &[],
            Self::Known(_, places) => &places[..],
        };
        let texts = places.iter().flat_map(|place| &place.0);
        let texts = texts.map(|text| size_of::<String>() + text.as_ref().map_or(0, String::len));
        u32::try_from(key.len() + texts.sum::<usize>()).unwrap_or(u32::MAX)
    }
}

/// Totals of lists kept.
const TOTALS_MAX: u64 = 10_000;

/// Totals that may be counted at a time, by what they are of.
const COUNTING: usize = 16;

/// Answers of this process, by everything they depend on but the log.
#[derive(Debug)]
pub struct Remembered {
    answers: moka::sync::Cache<String, Kept>,
    totals: moka::sync::Cache<String, (i64, i64)>,
    counts: moka::sync::Cache<String, Counts>,
    marks: moka::sync::Cache<String, Marks>,
    marking: Mutex<()>,
    counting: [Mutex<()>; COUNTING],
    unpacked: Unpacked,
}

impl Default for Remembered {
    fn default() -> Self {
        let weigh = |key: &String, kept: &Kept| {
            u32::try_from(key.len() + kept.body.len()).unwrap_or(u32::MAX)
        };
        let answers = moka::sync::Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            // what is asked again and again is not to wait behind what was asked once
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .weigher(weigh)
            .build();
        Self {
            answers,
            totals: moka::sync::Cache::new(TOTALS_MAX),
            counts: moka::sync::Cache::new(TOTALS_MAX),
            marks: moka::sync::Cache::builder()
                .max_capacity(MARKS_BYTES_MAX)
                .weigher(|key: &String, marks: &Marks| marks.size(key))
                .build(),
            marking: Mutex::default(),
            counting: Default::default(),
            unpacked: Unpacked::default(),
        }
    }
}

impl Remembered {
    /// The answer kept under a key.
    pub fn get(&self, key: &str) -> Option<Kept> {
        self.answers.get(key)
    }

    /// Keeps an answer unless it is too large.
    pub fn keep(&self, key: String, kept: Kept) {
        if kept.body.len() <= ANSWER_BYTES_MAX {
            self.answers.insert(key, kept);
        }
    }

    /// The total of a list, and the position it was true at.
    pub fn total(&self, key: &str) -> Option<(i64, i64)> {
        self.totals.get(key)
    }

    /// Where rows of a list stand.
    pub fn marks(&self, key: &str) -> Option<Marks> {
        self.marks.get(key)
    }

    /// Keeps where rows of a list stand.
    pub fn keep_marks(&self, key: String, marks: Marks) {
        self.marks.insert(key, marks);
    }

    /// One after the other finds out where rows stand; who waited may find that it is known.
    pub async fn marking(&self) -> MutexGuard<'_, ()> {
        self.marking.lock().await
    }

    /// One after the other counts the rows of one list; who waited may find that it is known.
    pub async fn counting(&self, key: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % COUNTING as u64).unwrap_or_default();
        self.counting[at].lock().await
    }

    /// Segments of execution logs and events.
    pub fn unpacked(&self) -> &Unpacked {
        &self.unpacked
    }

    /// What is counted of execution logs and events, and up to where.
    pub fn counts(&self, key: &str) -> Option<Counts> {
        self.counts.get(key)
    }

    /// Keeps what is counted of execution logs and events.
    pub fn keep_counts(&self, key: String, counts: Counts) {
        self.counts.insert(key, counts);
    }

    /// Keeps the total of a list.
    pub fn keep_total(&self, key: String, total: i64, position: i64) {
        self.totals.insert(key, (total, position));
    }
}
