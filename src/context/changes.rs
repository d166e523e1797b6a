//! Which views have changed since when: an answer may be given again as long as nothing it rests on
//! has.
use std::sync::atomic::{AtomicI64, Ordering};

use stratalog_projections::{View, fold, rows::Needs};
use stratalog_schema::Recorded;

use crate::log::append::{Batch, Observer};

/// What is known of the latest changes.
#[derive(Debug)]
pub struct Changes {
    /// Everything up to this position is taken in.
    known: AtomicI64,
    /// Position of the latest change, by view.
    changed: [AtomicI64; View::ALL.len()],
    /// Position of the latest execution log or event.
    told: AtomicI64,
    /// How often the log went back.
    epoch: AtomicI64,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            known: AtomicI64::default(),
            changed: std::array::from_fn(|_| AtomicI64::default()),
            told: AtomicI64::default(),
            epoch: AtomicI64::default(),
        }
    }
}

impl Changes {
    /// Whether none of these views changed after `since`, as of the log's head. False whenever that
    /// is not known for sure.
    pub fn none_since(&self, since: i64, views: &[View], head: i64) -> bool {
        // what is known is raised last and read first
        self.known.load(Ordering::Acquire) >= head
            && views
                .iter()
                .all(|view| self.changed[*view as usize].load(Ordering::Acquire) <= since)
    }

    /// Whether no execution log or event was stored after `since`, as [`Changes::none_since`].
    pub fn nothing_told_since(&self, since: i64, head: i64) -> bool {
        self.none_since(since, &[], head) && self.told.load(Ordering::Acquire) <= since
    }

    /// Differs once the log went back: what was read before may never have happened.
    pub fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Everything may have changed up to the head, and nothing before it is of interest.
    pub fn reset(&self, head: i64) {
        self.mark(&View::ALL, head);
        self.told.fetch_max(head, Ordering::Release);
        self.known.fetch_max(head, Ordering::Release);
    }

    /// Takes in events that follow, and lie up to `last_position`.
    pub fn apply(&self, events: &[Recorded], last_position: i64) {
        for recorded in events {
            let mut needs = Needs::default();
            fold::needs(&recorded.event, &mut needs);
            let links = needs.links.iter().map(|(view, ..)| *view);
            let views: Vec<View> = needs.keys.keys().copied().chain(links).collect();
            self.mark(&views, recorded.position);
        }
        // whether telemetry lies between the events is not looked at
        self.told.fetch_max(last_position, Ordering::Release);
        self.known.fetch_max(last_position, Ordering::Release);
    }

    fn mark(&self, views: &[View], position: i64) {
        for view in views {
            self.changed[*view as usize].fetch_max(position, Ordering::Release);
        }
    }
}

impl Observer for Changes {
    fn committed(&self, batch: &Batch) {
        self.mark(&batch.views, batch.last_position);
        let count = batch.last_position - batch.first_position + 1;
        if i64::try_from(batch.events.len()).is_ok_and(|events| events < count) {
            self.told.fetch_max(batch.last_position, Ordering::Release);
        }
        // what lies before the batch and is not known yet is taken in by following the log
        if batch.first_position <= self.known.load(Ordering::Acquire) + 1 {
            self.known.fetch_max(batch.last_position, Ordering::Release);
        }
    }

    fn went_back(&self, head: i64) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for changed in &self.changed {
            changed.store(head, Ordering::Release);
        }
        self.told.store(head, Ordering::Release);
        self.known.store(head, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn batch(first_position: i64, last_position: i64, view: View) -> Batch {
        Batch {
            first_position,
            last_position,
            events: Arc::new([]),
            views: Arc::new([view]),
        }
    }

    #[test]
    fn a_view_that_did_not_change_is_as_it_was() {
        let changes = Changes::default();
        changes.reset(10);
        changes.committed(&batch(11, 12, View::Nodes));
        assert!(changes.none_since(10, &[View::Blueprints], 12));
        assert!(!changes.none_since(10, &[View::Blueprints, View::Nodes], 12));
        assert!(changes.none_since(12, &[View::Nodes], 12));
    }

    #[test]
    fn telemetry_is_what_a_batch_holds_beside_its_events() {
        let changes = Changes::default();
        changes.reset(10);
        changes.committed(&Batch {
            events: Arc::new([]),
            ..batch(11, 12, View::Nodes)
        });
        assert!(!changes.nothing_told_since(10, 12));
        assert!(changes.nothing_told_since(12, 12));
        assert!(!changes.nothing_told_since(12, 13), "13 was not seen");
    }

    #[test]
    fn nothing_is_sure_beyond_what_is_known() {
        let changes = Changes::default();
        changes.reset(10);
        assert!(!changes.none_since(10, &[View::Nodes], 11));
        // 11 is another process's and was not seen
        changes.committed(&batch(12, 12, View::Nodes));
        assert!(!changes.none_since(10, &[View::Blueprints], 12));
        changes.apply(&[], 12);
        assert!(changes.none_since(10, &[View::Blueprints], 12));
    }
}
