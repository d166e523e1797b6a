//! Takes in what other processes append to the same log: people and files must be right here, too.
use std::{sync::Arc, time::Duration};

use stratalog_projections::At;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{error::Error, log::read};

/// How long another process's change may go unseen.
const POLL: Duration = Duration::from_millis(250);
const PAGE_EVENTS: i64 = 1_000;
/// How often is looked whether a position has been reached.
const LOOK: Duration = Duration::from_millis(20);

/// Runs until it is told to stop.
pub async fn follow(ctx: Arc<Context>, stop: CancellationToken) {
    let mut generation = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = ctx.behind.notified() => {}
            () = tokio::time::sleep(POLL) => {}
        }
        if let Err(error) = catch_up(&ctx, &mut generation).await {
            tracing::warn!(%error, "changes of other processes cannot be read for now");
        }
    }
}

async fn catch_up(ctx: &Context, generation: &mut Option<u32>) -> Result<(), Error> {
    if ctx.directory.is_stale() {
        return ctx.read_all().await;
    }
    let connection = ctx.store.database().idle().await?;
    let found = read::generation(&connection).await?;
    if *generation.get_or_insert(found) != found {
        // another log was restored: positions mean something else now
        *generation = Some(found);
        drop(connection);
        ctx.forget_positions();
        return ctx.read_all().await;
    }
    let head = read::head(&connection).await?;
    loop {
        let known = ctx.directory.position();
        if known >= head {
            return Ok(());
        }
        let events = read::page(&connection, known, head, PAGE_EVENTS).await?;
        let last = events.last().map(|event| event.position);
        let is_full = events.len() == usize::try_from(PAGE_EVENTS).unwrap_or_default();
        ctx.resources.apply(&events);
        ctx.changes
            .apply(&events, last.filter(|_| is_full).unwrap_or(head));
        ctx.directory
            .apply(&events, last.filter(|_| is_full).unwrap_or(head));
    }
}

impl Context {
    /// Waits until people and files are known here as they are at a position. What this process has
    /// appended itself may be known before what others appended in between.
    pub async fn reach(&self, position: i64) {
        while self.directory.is_stale() || self.directory.position() < position {
            self.behind.notify_one();
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The log was replaced: people and files must be read anew, whatever is known of their
    /// positions.
    pub fn forget_positions(&self) {
        self.directory.forget_position();
        self.resources.forget_position();
        self.selections.forget();
    }

    /// Reads people and files from the views.
    ///
    /// # Errors
    /// Database errors, documents of another version.
    pub async fn read_all(&self) -> Result<(), Error> {
        loop {
            let view = self.store.read(At::Now).await?;
            self.resources.read_from(&view).await?;
            let is_current = self.directory.read_from(&view).await?;
            self.changes.reset(view.head());
            drop(view.finish().await?);
            if is_current {
                return Ok(());
            }
        }
    }
}
