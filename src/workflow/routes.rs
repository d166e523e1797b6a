//! Which runner waits for the answer to which operation.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use super::runner::Signal;

type Table = HashMap<String, mpsc::Sender<Signal>>;

/// Shared by the executor and its runners. Held only for look-ups.
#[derive(Debug, Clone, Default)]
pub(super) struct Routes(Arc<Mutex<Table>>);

impl Routes {
    fn table(&self) -> MutexGuard<'_, Table> {
        // a table is as good after a panic elsewhere as before
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, operation: &str, runner: &mpsc::Sender<Signal>) {
        self.table().insert(operation.to_owned(), runner.clone());
    }

    pub(super) fn remove(&self, operation: &str) {
        self.table().remove(operation);
    }

    pub(super) fn find(&self, operation: &str) -> Option<mpsc::Sender<Signal>> {
        self.table().get(operation).cloned()
    }

    /// Everything that led to this runner.
    pub(super) fn forget(&self, runner: &mpsc::Sender<Signal>) {
        self.table().retain(|_, other| !other.same_channel(runner));
    }
}
