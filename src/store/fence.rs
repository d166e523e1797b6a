//! What only one process at a time may do is done behind a fence: an append that comes from behind
//! one is refused once its stream has moved on. As terms do, a fence goes with the task.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use stratalog_schema::StreamId;
use tokio::sync::Notify;

use crate::{
    error::Error,
    log::{Append, Expected},
};

tokio::task_local! {
    static FENCE: Option<Arc<Fence>>;
}

/// A stream, and the version that it has while those behind the fence may append.
#[derive(Debug)]
pub struct Fence {
    stream: StreamId,
    version: AtomicI64,
    broken: Notify,
}

impl Fence {
    /// A fence that holds while `stream` is at `version`.
    pub fn new(stream: StreamId, version: i64) -> Arc<Self> {
        Arc::new(Self {
            stream,
            version: AtomicI64::new(version),
            broken: Notify::new(),
        })
    }

    /// Carries something out behind this fence.
    pub async fn apply<F: Future>(self: &Arc<Self>, work: F) -> F::Output {
        FENCE.scope(Some(self.clone()), work).await
    }

    /// Carries something out that must come to its end though the log is another one: it sees to
    /// itself that it has the effect of once.
    pub async fn lift<F: Future>(work: F) -> F::Output {
        FENCE.scope(None, work).await
    }

    /// The stream has another version with which it holds.
    pub fn rebase(&self, version: i64) {
        self.version.store(version, Ordering::Release);
    }

    /// Waits until an append was refused.
    pub async fn broken(&self) {
        self.broken.notified().await;
    }

    /// The fence that this task is behind.
    pub(super) fn current() -> Option<Arc<Self>> {
        FENCE.try_with(Clone::clone).ok().flatten()
    }

    /// The append holds only if the fence does.
    pub(super) fn guard(&self, append: &mut Append) {
        let version = self.version.load(Ordering::Acquire);
        append
            .expected
            .push((self.stream.clone(), Expected::Version(version)));
    }

    /// What an append from behind the fence failed with. A broken fence is no reason to decide
    /// anew.
    pub(super) fn judge(&self, error: Error) -> Error {
        match error {
            Error::Conflict { stream, .. } if stream == self.stream.to_string() => {
                self.broken.notify_one();
                Error::Unavailable("Another process has taken this over".to_owned())
            }
            other => other,
        }
    }
}
