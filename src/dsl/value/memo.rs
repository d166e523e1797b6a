//! What was found out about a list or map, kept with it until it is changed.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Knowledge in one number that follows from the content alone, so that nobody minds who stored it.
#[derive(Debug, Default)]
pub(crate) struct Memo(AtomicU64);

impl Memo {
    pub(crate) fn get(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, known: NonZeroU64) {
        self.0.store(known.get(), Ordering::Relaxed);
    }

    pub(super) fn clear(&mut self) {
        *self.0.get_mut() = 0;
    }
}

/// The content may be about to change: nothing is known of the copy.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}
