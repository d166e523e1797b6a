//! Whether agents live. Each one is asked again and again, because none tells by itself: one that
//! stays silent is shown as `nonresponsive`, and as `started` again when it answers.
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use stratalog_projections::{At, Condition, ListQuery, Scope, View, views::agents::Agent};
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{AskError, Tenants},
    commands::agents,
    context::Context,
    error::Error,
};

const STARTED: &str = "started";
const NONRESPONSIVE: &str = "nonresponsive";
/// How often agents are asked.
const EVERY: Duration = Duration::from_secs(10);
/// How long they may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Since when an agent must not have been heard of to count as gone. With the two above, that is
/// noticed within a minute.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// Agents asked at the same time.
const PARALLEL: usize = 128;

/// Asks until `stop`.
pub async fn run(ctx: Arc<Context>, stop: CancellationToken) {
    let Some(tenants) = ctx.tenants.clone() else {
        return;
    };
    let mut monitor = Monitor {
        ctx,
        tenants,
        heard: HashMap::new(),
    };
    let asking = async {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            if let Err(error) = monitor.round().await {
                tracing::warn!(%error, "agents are asked later whether they live");
            }
        }
    };
    stop.run_until_cancelled(asking).await;
}

/// An agent by its tenant and name.
type Key = (String, String);

struct Monitor {
    ctx: Arc<Context>,
    tenants: Tenants,
    /// When each agent last answered, or was first asked.
    heard: HashMap<Key, Instant>,
}

impl Monitor {
    async fn round(&mut self) -> Result<(), Error> {
        let agents = self.to_ask().await?;
        let known: Vec<Key> = agents.iter().map(key).collect();
        self.heard.retain(|key, _| known.contains(key));
        let tenants = &self.tenants;
        let asked = stream::iter(agents).map(|agent| async move {
            let answered = ask(tenants, &agent).await;
            (agent, answered)
        });
        let answers: Vec<_> = asked.buffer_unordered(PARALLEL).collect().await;
        for (agent, answered) in answers {
            self.note(&agent, answered).await?;
        }
        Ok(())
    }

    async fn to_ask(&self) -> Result<Vec<Agent>, Error> {
        let states = [STARTED, NONRESPONSIVE].map(str::to_owned).to_vec();
        let query = ListQuery::all(View::Agents, Scope::Everything)
            .with(Condition::AnyOf("state".to_owned(), states));
        let view = self.ctx.store.read(At::Now).await?;
        let agents = view.select_as(&query).await?;
        drop(view.finish().await?);
        Ok(agents)
    }

    async fn note(&mut self, agent: &Agent, answered: Result<(), AskError>) -> Result<(), Error> {
        let now = Instant::now();
        let heard = self.heard.entry(key(agent)).or_insert(now);
        let state = match answered {
            Ok(()) => {
                *heard = now;
                STARTED
            }
            // the agent is not to blame for a broker that is away
            Err(AskError::Broker(_)) => {
                *heard = now;
                return Ok(());
            }
            Err(_) if now.duration_since(*heard) < SILENT_FOR => return Ok(()),
            Err(_) => NONRESPONSIVE,
        };
        if agent.state == state {
            return Ok(());
        }
        tracing::info!(
            agent = agent.name,
            tenant = agent.tenant_name,
            state,
            "an agent"
        );
        let of = (agent.tenant_name.as_str(), agent.name.as_str());
        agents::observed(&self.ctx, of, &agent.state, state).await
    }
}

fn key(agent: &Agent) -> Key {
    (agent.tenant_name.clone(), agent.name.clone())
}

async fn ask(tenants: &Tenants, agent: &Agent) -> Result<(), AskError> {
    let queue = agent.rabbitmq_exchange.as_deref().unwrap_or(&agent.name);
    tenants.of(&agent.tenant_name).ping(queue, PATIENCE).await
}
