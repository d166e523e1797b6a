//! Starts executions when their schedules are due. Of several processes over one database one does
//! it: whoever holds the lease, a lock that the database gives up with the holder's connection.
//! **Invariant:** the lease saves work, no more. That each occurrence has one effect follows from
//! the identity of its command.
use std::{sync::Arc, time::Duration};

use stratalog_projections::views::maintenance::Status;
use stratalog_schema::Event;
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    commands::schedules,
    context::{Context, Restoring},
    db::Lease,
    error::Error,
};

/// Key of the session advisory lock that is the lease.
const LEASE: i64 = 0x5354_5241_0010;
/// Pause after trouble.
const PAUSE: Duration = Duration::from_secs(2);
/// Schedules are looked at at least so often: clocks may be set.
const LOOK: Duration = Duration::from_secs(15);

/// Starts what is due until asked to stop.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let until = stop.clone();
    until
        .run_until_cancelled(async move {
            loop {
                if let Err(error) = Box::pin(follow(&ctx)).await {
                    tracing::warn!(%error, "schedules are looked at again later");
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
        .await;
}

/// As long as this process holds the lease.
async fn follow(ctx: &Context) -> Result<(), Error> {
    let lease = Lease::take(ctx.store.database(), LEASE).await?;
    let mut subscription = ctx.store.subscribe(ctx.store.head().await?);
    loop {
        let next_ms = start_due(ctx).await?;
        let look_ms = i64::try_from(LOOK.as_millis()).unwrap_or(i64::MAX);
        let wait_ms = next_ms.map_or(look_ms, |next| next - clock::now_ms());
        let wait = u64::try_from(wait_ms.clamp(0, look_ms)).unwrap_or_default();
        let woken = async {
            loop {
                if is_of_schedules(&subscription.next().await?.event) {
                    return Ok::<_, Error>(());
                }
            }
        };
        if let Ok(woken) = tokio::time::timeout(Duration::from_millis(wait), woken).await {
            woken?;
        }
        // a lost connection is a lost lease
        lease.hold().await?;
    }
}

fn is_of_schedules(event: &Event) -> bool {
    matches!(
        event,
        Event::ScheduleCreated(_)
            | Event::ScheduleChanged(_)
            | Event::ScheduleOccurred(_)
            | Event::MaintenanceDeactivated(_)
    )
}

/// Starts what is due; gives when something is due next.
async fn start_due(ctx: &Context) -> Result<Option<i64>, Error> {
    let maintenance = ctx.directory.load().maintenance.status;
    if *ctx.restoring.borrow() != Restoring::No || maintenance != Status::Deactivated {
        return Ok(None);
    }
    let now_ms = clock::now_ms();
    let (due, next_ms) = schedules::due(ctx, now_ms).await?;
    for schedule in &due {
        schedules::occur(ctx, schedule, now_ms).await?;
    }
    // there may be more than were looked at
    Ok(if due.is_empty() {
        next_ms
    } else {
        Some(now_ms)
    })
}
