//! What a failed attempt leads to.
use super::graph::task::Task;
use crate::broker::wire::{Retry, TaskError};

/// The decision about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Another attempt after so many milliseconds. `asked`: the operation itself wanted it.
    Retry { after_ms: i64, asked: bool },
    /// The task has failed, and others go on as if it had not.
    Ignore,
    /// The task has failed.
    Fail,
}

/// An operation that asks to be run again is; a handler comes next, and wins even over an error
/// that says trying again is useless; everything else is retried as long as attempts are left.
pub(crate) fn verdict(task: &Task, error: &TaskError) -> Verdict {
    let (after_s, asked) = match error.retry() {
        Retry::Asked { after_s } => (after_s, true),
        _ if task.is_ignored() => return Verdict::Ignore,
        Retry::Never => return Verdict::Fail,
        Retry::Failure { after_s } => (after_s, false),
    };
    let parameters = &task.parameters;
    if parameters.total_retries >= 0 && parameters.current_retries >= parameters.total_retries {
        return if task.is_ignored() {
            Verdict::Ignore
        } else {
            Verdict::Fail
        };
    }
    let interval_s = after_s.or_else(|| parameters.retry_interval.as_f64());
    Verdict::Retry {
        after_ms: millis(interval_s.unwrap_or_default()),
        asked,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "clamped to what a moment in this century can be away"
)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).clamp(0.0, 1e12) as i64
}
