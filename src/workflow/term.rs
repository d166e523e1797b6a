//! The time during which this process runs executions. Of several processes over one database one
//! does: whoever holds the lease. **Invariant:** what a process decides whose term has ended is
//! refused by the log, because each term begins with an event and every decision rests on it.
use std::{sync::Arc, time::Duration};

use stratalog_schema::{Category, Event, Meta, StreamId, events::ExecutorChanged};

use crate::{
    clock,
    context::Context,
    db::Lease,
    error::Error,
    log::read,
    store::{Decision, Fence},
};

/// Key of the session advisory lock that is the lease.
const LEASE: i64 = 0x5354_5241_0011;
/// How often the lease is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// One term.
#[derive(Debug)]
pub(super) struct Term {
    lease: Lease,
    /// What the executor does is done behind it.
    pub(super) fence: Arc<Fence>,
}

impl Term {
    /// Waits until this process is the one; `process` tells its starts apart.
    ///
    /// # Errors
    /// `Unavailable` when the database is down.
    pub(super) async fn begin(ctx: &Context, process: &str) -> Result<Self, Error> {
        let lease = Lease::take(ctx.store.database(), LEASE).await?;
        let fence = Fence::new(stream(), announce(ctx, process).await?);
        Ok(Self { lease, fence })
    }

    /// Until the term may have ended.
    pub(super) async fn last(&self, ctx: &Context, process: &str) {
        loop {
            let is_broken = tokio::select! {
                () = self.fence.broken() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            if let Err(error) = self.lease.hold().await {
                return tracing::warn!(%error, "executions are left to other processes");
            }
            if !is_broken {
                continue;
            }
            // nobody else holds the lease: the log was replaced by a restored one
            match announce(ctx, process).await {
                Ok(version) => self.fence.rebase(version),
                Err(error) => {
                    return tracing::warn!(%error, "executions are left to other processes");
                }
            }
        }
    }
}

fn stream() -> StreamId {
    StreamId::global(Category::Executor, "executor")
}

/// Appends that this process runs executions from now on; gives the version to rest on.
async fn announce(ctx: &Context, process: &str) -> Result<i64, Error> {
    let meta = Meta::system();
    let announced = ctx.store.command(&meta, None, async |view| {
        let view = &*view;
        let version = read::stream_version(view, &stream()).await?;
        let mut decision = Decision::nothing();
        decision.rests_on(view, stream()).await?;
        let event = ExecutorChanged {
            manager_name: ctx.settings.manager_name(),
            process: process.to_owned(),
            at_ms: clock::now_ms(),
        };
        decision.event(stream(), Event::ExecutorChanged(event));
        Ok((decision, version + 1))
    });
    Ok(announced.await?.1)
}
