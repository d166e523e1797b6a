//! Waiting for an execution to end, by following the log.
use std::time::Duration;

use stratalog_projections::views::executions::is_end;
use stratalog_schema::Event;

use crate::{context::Context, error::Error};

/// Nobody waits longer for an answer.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How an execution ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// `terminated`, `failed` or `cancelled`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Position of the log at which it did.
    pub position: i64,
}

/// Waits for the end of an execution that was started after a position; nothing when it takes too
/// long.
///
/// # Errors
/// Database errors.
pub async fn execution_end(
    ctx: &Context,
    (tenant, id): (&str, &str),
    after: i64,
) -> Result<Option<Ended>, Error> {
    let mut subscription = ctx.store.subscribe(after);
    let end = async {
        loop {
            let recorded = subscription.next().await?;
            if let Event::ExecutionStatusChanged(event) = recorded.event
                && event.id == id
                && event.tenant == tenant
                && is_end(&event.status)
            {
                return Ok(Ended {
                    status: event.status,
                    error: event.error,
                    position: recorded.position,
                });
            }
        }
    };
    match tokio::time::timeout(WAIT_MAX, end).await {
        Ok(ended) => ended.map(Some),
        Err(_) => Ok(None),
    }
}
