//! What workers and agents told last of themselves. It is not in the log, and gone with the
//! process.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use crate::{broker::wire::Metrics, clock};

/// Sources that are kept.
const SOURCES_MAX: usize = 10_000;
/// After so many intervals without a word a source counts as gone.
const INTERVALS_MISSED: u64 = 3;

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The worker of a manager.
    Worker(String),
    /// An agent.
    Agent {
        /// Its tenant.
        tenant: String,
        /// Its name in that.
        name: String,
    },
}

/// What one has told.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its own words.
    pub told: Arc<Metrics>,
    /// When they came in.
    pub received_at: DateTime<Utc>,
    received: Instant,
}

impl Report {
    fn is_current(&self, now: Instant) -> bool {
        let patience = self.told.interval_s.saturating_mul(INTERVALS_MISSED);
        now.saturating_duration_since(self.received) <= Duration::from_secs(patience)
    }
}

/// The latest report of everybody who tells.
#[derive(Debug, Default)]
pub struct Reports(Mutex<BTreeMap<Source, Report>>);

impl Reports {
    /// Keeps what a source tells instead of what it told before. False when there are so many
    /// others that it is not kept.
    pub fn note(&self, source: Source, told: Metrics) -> bool {
        self.note_at(source, told, Instant::now())
    }

    fn note_at(&self, source: Source, told: Metrics, received: Instant) -> bool {
        let mut latest = self.lock();
        if latest.len() >= SOURCES_MAX && !latest.contains_key(&source) {
            latest.retain(|_, report| report.is_current(received));
            if latest.len() >= SOURCES_MAX {
                return false;
            }
        }
        let report = Report {
            told: Arc::new(told),
            received_at: clock::now(),
            received,
        };
        latest.insert(source, report);
        true
    }

    /// What a source told last, unless it has fallen silent since.
    pub fn of(&self, source: &Source) -> Option<Report> {
        let report = self.lock().get(source).cloned();
        report.filter(|report| report.is_current(Instant::now()))
    }

    /// What everybody told last who has not fallen silent since.
    pub fn current(&self) -> Vec<(Source, Report)> {
        self.current_at(Instant::now())
    }

    fn current_at(&self, now: Instant) -> Vec<(Source, Report)> {
        let latest = self.lock();
        let current = latest.iter().filter(|(_, report)| report.is_current(now));
        current
            .map(|(source, report)| (source.clone(), report.clone()))
            .collect()
    }

    /// Forgets who has fallen silent, and whom nobody knows.
    pub fn clear(&self, is_known: impl Fn(&Source) -> bool) {
        let now = Instant::now();
        self.lock()
            .retain(|source, report| report.is_current(now) && is_known(source));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Source, Report>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::wire::Operations;

    fn metrics(uptime_s: f64) -> Metrics {
        Metrics {
            name: "a1".to_owned(),
            host: "h1".to_owned(),
            interval_s: 10,
            operations: Operations {
                running: 0,
                waiting: 0,
                following: 0,
                limit: 5,
                queued: None,
            },
            uptime_s,
            resident_bytes: None,
            load: None,
            memory: None,
        }
    }

    fn agent(name: &str) -> Source {
        Source::Agent {
            tenant: "t1".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn the_latest_word_counts_until_a_few_intervals_have_passed() {
        let (reports, began) = (Reports::default(), Instant::now());
        assert!(reports.note_at(agent("a1"), metrics(1.0), began));
        assert!(reports.note_at(agent("a1"), metrics(2.0), began));
        let told = |seconds| reports.current_at(began + Duration::from_secs(seconds));
        assert_eq!(told(30).len(), 1);
        assert_eq!(told(30)[0].1.told.uptime_s, 2.0);
        assert!(told(31).is_empty());
    }

    #[test]
    fn there_is_room_for_so_many_until_some_fall_silent() {
        let (reports, began) = (Reports::default(), Instant::now());
        for number in 0..SOURCES_MAX {
            assert!(reports.note_at(agent(&number.to_string()), metrics(1.0), began));
        }
        assert!(!reports.note_at(agent("new"), metrics(1.0), began));
        assert!(reports.note_at(agent("0"), metrics(2.0), began));
        let later = began + Duration::from_secs(60);
        assert!(reports.note_at(agent("new"), metrics(1.0), later));
        assert_eq!(reports.current_at(later).len(), 1);
    }

    #[test]
    fn whom_nobody_knows_is_forgotten() {
        let reports = Reports::default();
        reports.note(agent("a1"), metrics(1.0));
        reports.note(agent("a2"), metrics(1.0));
        reports.clear(|source| *source == agent("a2"));
        assert!(reports.of(&agent("a1")).is_none());
        assert!(reports.of(&agent("a2")).is_some());
    }
}
