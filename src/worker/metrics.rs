//! What a worker tells of itself, again and again, to every manager that listens.
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::{Role, WAITS_PER_SLOT, Worker};
use crate::broker::{
    BrokerState, Error, Notice, topology,
    wire::{Metrics, Operations, metrics::INTERVAL_S_MAX},
};

mod host;

/// By how much an interval is longer or shorter than it should be, so that many workers do not
/// speak in the same instant; percent.
const JITTER: u64 = 10;

/// Never ends. Does nothing where the interval is 0.
pub(super) async fn tell(worker: &Worker) -> Infallible {
    let interval_s = worker.options.metrics_interval_s.min(INTERVAL_S_MAX);
    if interval_s == 0 {
        return std::future::pending().await;
    }
    let began = Instant::now();
    let mut is_refused = false;
    loop {
        connected(worker, Duration::from_secs(interval_s)).await;
        match send(worker, &gather(worker, interval_s, began).await).await {
            Ok(()) => is_refused = false,
            // whoever keeps the connection says that it is away
            Err(Error::Down(reason)) => debug!(reason, "metrics are not told"),
            Err(error) if is_refused => debug!(%error, "metrics are not told"),
            Err(error) => {
                warn!(%error, "metrics are not told");
                is_refused = true;
            }
        }
        tokio::time::sleep(jittered(interval_s)).await;
    }
}

/// A connection that is being made is waited for; one that cannot be made shows on using it.
async fn connected(worker: &Worker, limit: Duration) {
    let mut state = worker.broker.state();
    if tokio::time::timeout(limit, state.wait_for(BrokerState::is_up))
        .await
        .is_err()
    {
        debug!("there is no connection to the message broker");
    }
}

fn jittered(interval_s: u64) -> Duration {
    let percent = rand::random_range(100 - JITTER..=100 + JITTER);
    Duration::from_millis(interval_s.saturating_mul(10).saturating_mul(percent))
}

async fn send(worker: &Worker, metrics: &Metrics) -> Result<(), Error> {
    let body = serde_json::to_vec(metrics).expect("metrics have a JSON form");
    let notice = Notice {
        topology: &topology::metrics(),
        exchange: topology::METRICS_EXCHANGE,
        routing_key: &metrics.name,
        body: &body,
        expiration_ms: metrics.interval_s.saturating_mul(1_000),
    };
    worker.broker.notify(&notice).await
}

async fn gather(worker: &Worker, interval_s: u64, began: Instant) -> Metrics {
    let (options, host) = (&worker.options, host::look().await);
    let limit = usize::from(options.max_operations.max(1));
    let running = taken(&worker.slots, limit);
    let following = taken(&worker.waits, limit * WAITS_PER_SLOT);
    let others = running + following + worker.running.workflows();
    let waiting = worker.running.count().saturating_sub(others);
    let queue = match &options.role {
        Role::Manager => topology::OPERATION_QUEUE.to_owned(),
        Role::Agent { queue, .. } => format!("{queue}_operation"),
    };
    let queued = worker.broker.depth(&queue).await;
    if let Err(error) = &queued {
        debug!(queue, %error, "how full the queue is cannot be told");
    }
    Metrics {
        name: options.name.clone(),
        host: host.name,
        interval_s,
        operations: Operations {
            running: count(running),
            waiting: count(waiting),
            following: count(following),
            limit: count(limit),
            queued: queued.ok().map(u64::from),
        },
        uptime_s: began.elapsed().as_secs_f64(),
        resident_bytes: host.resident_bytes,
        load: host.load,
        memory: host.memory,
    }
}

fn taken(places: &Semaphore, of: usize) -> usize {
    of.saturating_sub(places.available_permits())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
