//! Consumer of what workers and agents tell of themselves: the latest word of each is remembered,
//! nothing is recorded.
//!
//! An agent can speak only for itself: its tenant follows from the virtual host, and the message
//! must come from the user that the agent of that name has; RabbitMQ vouches for the user. For
//! managers' workers it must be the user that managers have. What is dropped changes nothing.
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use stratalog_projections::{At, Condition, ListQuery, Scope, View, views::agents::Agent};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    broker::{
        Broker, ConsumerSpec, Deliveries, Delivery, Topology, topology,
        wire::{Metrics, OddMetrics},
    },
    context::{Context, Source},
    error::Error,
};

/// Messages in hand. They are handled faster than they come, and may be large when somebody means
/// harm.
const PREFETCH: u16 = 16;
/// Messages that wait in a queue; the oldest go.
const WAITING_MAX: u16 = 10_000;
/// How often it is looked at which agents there are.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long nothing more is said of a source whose messages are dropped.
const QUIET: Duration = Duration::from_secs(60);
/// Sources of dropped messages that are told apart.
const COMPLAINTS_MAX: usize = 1_000;
/// What is left of such an agent is its name.
const DELETED: &str = "deleted";

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Dropped {
    #[error(transparent)]
    Odd(#[from] OddMetrics),
    #[error("there is no such agent")]
    Unknown,
    #[error("its sender is not whom it tells of")]
    Forged,
    #[error("too many others tell")]
    Many,
}

impl Dropped {
    fn label(self) -> &'static str {
        match self {
            Self::Odd(OddMetrics::TooLarge) => "too_large",
            Self::Odd(OddMetrics::Unreadable) => "unreadable",
            Self::Odd(OddMetrics::Impossible) => "impossible",
            Self::Unknown => "unknown",
            Self::Forged => "forged",
            Self::Many => "too_many",
        }
    }
}

/// Where a message came in.
#[derive(Debug, Clone)]
enum Origin {
    /// Where managers are.
    Managers,
    /// A tenant's virtual host.
    Tenant(Arc<str>),
}

/// Consumes until told to stop.
pub async fn run(ctx: Arc<Context>, broker: Broker, stop: CancellationToken) {
    let mut intake = Intake::new(ctx, broker);
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => if let Err(error) = intake.look().await {
                tracing::warn!(%error, "whose metrics may come is looked at later");
            },
            next = intake.inbox.next() => match next {
                Some((origin, delivery)) => intake.take(&origin, delivery).await,
                None => return,
            },
        }
    }
}

/// Users of the agents of a tenant, by the agents' names.
type Users = HashMap<String, Option<String>>;

/// A queue in the virtual host of a tenant.
struct Listening {
    queue: String,
    end: CancellationToken,
}

struct Intake {
    ctx: Arc<Context>,
    broker: Broker,
    inbox: SelectAll<BoxStream<'static, (Origin, Delivery)>>,
    listening: HashMap<String, Listening>,
    /// Agents by tenant.
    known: HashMap<String, Users>,
    /// Where the log stood when agents were looked at, with [`crate::context::Changes::epoch`].
    seen: Option<(i64, i64)>,
    complaints: Complaints,
}

impl Intake {
    fn new(ctx: Arc<Context>, broker: Broker) -> Self {
        let mut intake = Self {
            ctx,
            inbox: SelectAll::new(),
            listening: HashMap::new(),
            known: HashMap::new(),
            seen: None,
            complaints: Complaints::default(),
            broker,
        };
        // a queue that is locked for a while after a cut keeps nothing but metrics waiting
        let broker = intake.broker.beside(Topology::default());
        intake.listen(&broker, Origin::Managers, CancellationToken::new());
        intake
    }

    /// Gives the name of the queue. It is declared with its consumer, once there is a connection.
    fn listen(&mut self, broker: &Broker, origin: Origin, end: CancellationToken) -> String {
        let queue = format!("stratalog_metrics_{}", Uuid::now_v7().simple());
        broker.remember(&topology::metrics_in(&queue, WAITING_MAX));
        let deliveries = broker.consume(ConsumerSpec {
            queue: queue.clone(),
            prefetch: PREFETCH,
        });
        let next = async |mut deliveries: Deliveries| Some((deliveries.recv().await?, deliveries));
        let coming =
            stream::unfold(deliveries, next).map(move |delivery| (origin.clone(), delivery));
        let coming = coming.take_until(end.cancelled_owned());
        self.inbox.push(coming.boxed());
        queue
    }

    /// Looks at which agents there are, if that may have changed, and listens where they are.
    async fn look(&mut self) -> Result<(), Error> {
        let known = &self.known;
        self.ctx.reports.clear(|source| match source {
            Source::Worker(_) => true,
            Source::Agent { tenant, name } => known
                .get(tenant)
                .is_some_and(|users| users.contains_key(name)),
        });
        let (changes, epoch) = (&self.ctx.changes, self.ctx.changes.epoch());
        let head = self.ctx.store.head().await?;
        let is_same = |(then, position): (i64, i64)| {
            then == epoch && changes.none_since(position, &[View::Agents], head)
        };
        if self.seen.is_some_and(is_same) {
            return Ok(());
        }
        let query = ListQuery::all(View::Agents, Scope::Everything).with(Condition::NotAnyOf(
            "state".to_owned(),
            vec![DELETED.to_owned()],
        ));
        let view = self.ctx.store.read(At::Now).await?;
        let agents: Vec<Agent> = view.select_as(&query).await?;
        let position = view.head();
        drop(view.finish().await?);
        self.known.clear();
        for agent in agents {
            let users = self.known.entry(agent.tenant_name).or_default();
            users.insert(agent.name, agent.rabbitmq_username);
        }
        self.seen = Some((epoch, position));
        self.follow_tenants().await;
        Ok(())
    }

    async fn follow_tenants(&mut self) {
        let Some(tenants) = self.ctx.tenants.clone() else {
            return;
        };
        let wanted: BTreeSet<String> = self.known.keys().cloned().collect();
        for tenant in &wanted {
            if self.listening.contains_key(tenant) {
                continue;
            }
            let (peer, end) = (tenants.of(tenant), CancellationToken::new());
            let origin = Origin::Tenant(tenant.as_str().into());
            let queue = self.listen(peer.broker(), origin, end.clone());
            self.listening
                .insert(tenant.clone(), Listening { queue, end });
        }
        let left = self.listening.keys().filter(|one| !wanted.contains(*one));
        for tenant in left.cloned().collect::<Vec<_>>() {
            let Some(Listening { queue, end }) = self.listening.remove(&tenant) else {
                continue;
            };
            end.cancel();
            if let Err(error) = tenants.of(&tenant).broker().delete_queue(&queue).await {
                tracing::debug!(tenant, %error, "a queue of metrics goes with its connection");
            }
        }
    }

    async fn take(&mut self, origin: &Origin, delivery: Delivery) {
        if let Err(dropped) = self.note(origin, &delivery) {
            metrics::counter!("stratalog_metrics_dropped_total", "reason" => dropped.label())
                .increment(1);
            self.complaints.complain(origin, &delivery, dropped);
        }
        if let Err(error) = delivery.ack.ack().await {
            tracing::debug!(%error, "a message of metrics went with its connection");
        }
    }

    fn note(&self, origin: &Origin, delivery: &Delivery) -> Result<(), Dropped> {
        let told = Metrics::parse(&delivery.body)?;
        let name = told.name.clone();
        let (source, user) = match origin {
            Origin::Managers => (Source::Worker(name), self.broker.user().ok()),
            Origin::Tenant(tenant) => {
                let users = self.known.get(&**tenant);
                let user = users.and_then(|users| users.get(&name));
                let user = user.ok_or(Dropped::Unknown)?.clone();
                let tenant = String::from(&**tenant);
                (Source::Agent { tenant, name }, user)
            }
        };
        if user.is_none() || user != delivery.sender {
            return Err(Dropped::Forged);
        }
        match self.ctx.reports.note(source, told) {
            true => Ok(()),
            false => Err(Dropped::Many),
        }
    }
}

/// What was said lately of messages that were dropped, by their source.
#[derive(Debug, Default)]
struct Complaints(HashMap<(String, String), Instant>);

impl Complaints {
    fn complain(&mut self, origin: &Origin, delivery: &Delivery, dropped: Dropped) {
        let tenant = match origin {
            Origin::Managers => "",
            Origin::Tenant(tenant) => tenant,
        };
        let sender = delivery.sender.as_deref().unwrap_or_default();
        if self.is_due((tenant, sender), Instant::now()) {
            let size_bytes = delivery.body.len();
            tracing::warn!(tenant, sender, size_bytes, reason = %dropped, "metrics are dropped");
        }
    }

    fn is_due(&mut self, (tenant, sender): (&str, &str), now: Instant) -> bool {
        let key = (tenant.to_owned(), sender.to_owned());
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
        if self.0.get(&key).is_some_and(is_recent) {
            return false;
        }
        if self.0.len() >= COMPLAINTS_MAX {
            self.0.retain(|_, at| is_recent(at));
        }
        if self.0.len() >= COMPLAINTS_MAX {
            return false;
        }
        self.0.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_source_one_complaint_a_minute_is_enough() {
        let (mut complaints, began) = (Complaints::default(), Instant::now());
        let mut is_due = |sender, seconds| {
            complaints.is_due(("t1", sender), began + Duration::from_secs(seconds))
        };
        assert!(is_due("a", 0));
        assert!(!is_due("a", 59));
        assert!(is_due("b", 59));
        assert!(is_due("a", 60));
    }

    #[test]
    fn there_is_an_end_to_complaining() {
        let (mut complaints, began) = (Complaints::default(), Instant::now());
        for number in 0..COMPLAINTS_MAX {
            assert!(complaints.is_due(("t1", &number.to_string()), began));
        }
        assert!(!complaints.is_due(("t1", "another"), began));
        assert!(complaints.is_due(("t1", "another"), began + QUIET));
    }
}
