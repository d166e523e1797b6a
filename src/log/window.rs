//! Telemetry seen lately: a message delivered again is recognised by its event id.
use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// Ids remembered: a quarter of an hour at several hundred a second, about 24 bytes each.
const REMEMBERED: usize = 400_000;

/// The ids of the latest records.
#[derive(Debug, Default)]
pub(super) struct Window {
    seen: HashSet<Uuid>,
    order: VecDeque<Uuid>,
}

impl Window {
    /// Notes an id; `false` when it was there already.
    pub(super) fn insert(&mut self, id: Uuid) -> bool {
        if !self.seen.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Whether an id was seen.
    pub(super) fn contains(&self, id: &Uuid) -> bool {
        self.seen.contains(id)
    }
}
