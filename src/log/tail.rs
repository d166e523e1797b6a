//! The newest durable batches in memory, so that subscribers of this process need not read what the
//! process itself has just appended.
//!
//! Invariant: what is kept is contiguous, durable, and of one epoch. An epoch ends when the writer
//! doubts its head; subscribers then look into the database, where a log that was replaced shows.
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stratalog_schema::Recorded;

use super::append::Batch;

/// Events kept; a subscriber that lags further reads them from the database.
const EVENTS_MAX: usize = 8_000;

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Batch>,
    events: usize,
    epoch: u64,
}

/// The newest batches; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

impl Tail {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // batches are added whole, so what a panic left is still contiguous
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch of what is kept.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Adds a batch that has become durable.
    pub(super) fn push(&self, batch: Batch, epoch: u64) {
        let mut kept = self.lock();
        let follows = kept
            .batches
            .back()
            .is_none_or(|last| last.last_position + 1 == batch.first_position);
        if kept.epoch != epoch || !follows {
            kept.batches.clear();
            kept.events = 0;
            kept.epoch = epoch;
        }
        kept.events += batch.events.len();
        kept.batches.push_back(batch);
        while kept.events > EVENTS_MAX
            && let Some(oldest) = kept.batches.pop_front()
        {
            kept.events -= oldest.events.len();
        }
    }

    /// Events after a position, and the position up to which there are no others: the position
    /// itself when it is the newest. `None` when what follows it is not kept, or not of that epoch.
    pub(super) fn after(&self, position: i64, epoch: u64) -> Option<(Vec<Recorded>, i64)> {
        let kept = self.lock();
        let (first, last) = (kept.batches.front()?, kept.batches.back()?);
        let is_covered = kept.epoch == epoch
            && first.first_position <= position + 1
            && position <= last.last_position;
        if !is_covered {
            return None;
        }
        let skipped = kept
            .batches
            .partition_point(|batch| batch.last_position <= position);
        let events = kept
            .batches
            .range(skipped..)
            .flat_map(|batch| batch.events.iter())
            .filter(|event| event.position > position)
            .cloned()
            .collect();
        Some((events, last.last_position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry(first_position: i64, last_position: i64) -> Batch {
        Batch {
            first_position,
            last_position,
            events: Arc::new([]),
            views: Arc::new([]),
        }
    }

    #[test]
    fn what_follows_is_given_without_a_hole_or_not_at_all() {
        let tail = Tail::default();
        tail.push(telemetry(5, 9), 1);
        tail.push(telemetry(10, 10), 1);
        let upto = |position, epoch| tail.after(position, epoch).map(|(_, upto)| upto);
        assert_eq!(upto(4, 1), Some(10));
        assert_eq!(upto(7, 1), Some(10));
        assert_eq!(upto(9, 1), Some(10));
        assert_eq!(upto(3, 1), None, "4 is not kept");
        assert_eq!(upto(10, 1), Some(10), "nothing follows yet");
        assert_eq!(upto(11, 1), None, "another process was faster");
        assert_eq!(upto(9, 2), None, "another epoch");
    }

    #[test]
    fn a_hole_or_a_new_epoch_begins_anew() {
        let tail = Tail::default();
        tail.push(telemetry(1, 3), 1);
        tail.push(telemetry(6, 7), 1);
        assert_eq!(tail.after(3, 1).map(|(_, upto)| upto), None);
        assert_eq!(tail.after(5, 1).map(|(_, upto)| upto), Some(7));
        tail.push(telemetry(8, 9), 2);
        assert_eq!(tail.epoch(), 2);
        assert_eq!(tail.after(5, 2).map(|(_, upto)| upto), None);
        assert_eq!(tail.after(7, 2).map(|(_, upto)| upto), Some(9));
    }
}
