//! Background tasks: every one is named, owned and drained.
use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// The process's long-lived tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Asks tasks to end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tasks that end with these, or before them: whoever has them drains them.
    pub fn within(&self) -> Self {
        Self {
            tracker: TaskTracker::new(),
            stop: self.stop.child_token(),
        }
    }

    /// Starts a task that `drain` waits for.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker
            .spawn(task.instrument(tracing::info_span!("task", name)));
    }

    /// Asks all tasks to end and waits until they have.
    pub async fn drain(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Starts a task that ends with its peer: nobody waits for it.
#[allow(clippy::disallowed_methods, reason = "the one place that spawns")]
pub fn detached<F>(name: &'static str, task: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(task.instrument(tracing::debug_span!("task", name)));
}
