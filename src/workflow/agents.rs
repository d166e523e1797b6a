//! Operations that run on hosts: which agent takes one, whether it is there, and the way back of
//! its answers.
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value};
use stratalog_projections::{
    At,
    views::{node_instances::NodeInstance, nodes::Node, scoped},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    broker::{
        AskError, ConsumerSpec, Delivery, Error as BrokerError, Message, Peer, Tenants,
        topology::RESPONSE_QUEUE, wire::TaskError,
    },
    commands::json::object,
    context::Context,
    error::Error,
    store::View as Reader,
    tasks::Tasks,
};

/// How long an agent may take to say that it is there.
const PING: Duration = Duration::from_secs(30);
/// Pause while the broker cannot be reached.
const PAUSE: Duration = Duration::from_secs(1);
/// Answers taken from a tenant's virtual host and not yet handed on.
const PREFETCH: u16 = 256;
/// Hosts whose agent is another deployment's: how far that goes.
const PROXIES_MAX: usize = 8;

/// Who runs an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    /// Its exchange, and the beginning of the names of its queues.
    pub(super) queue: String,
    /// How messages call it.
    pub(super) name: String,
    /// Addresses under which it reaches the manager; none: the usual ones.
    pub(super) rest_host: Vec<String>,
}

/// The agent of the host that an operation belongs to, as it is now.
///
/// # Errors
/// Database errors; inside, what the operation fails with when there is none.
pub(super) async fn find(
    ctx: &Context,
    tenant: &str,
    context: &Map<String, Value>,
) -> Result<Result<Agent, TaskError>, Error> {
    let host_id = context.get("host_id").and_then(Value::as_str);
    let view = ctx.store.read(At::Now).await?;
    let found = look(&view, tenant, host_id).await?;
    drop(view.finish().await?);
    Ok(found.ok_or_else(|| {
        TaskError::non_recoverable(format!(
            "{}: missing cloudify_agent.queue runtime information. This most likely means that \
             the Compute node was never started successfully",
            host_id.unwrap_or("(no host)")
        ))
    }))
}

async fn look(view: &Reader, tenant: &str, host_id: Option<&str>) -> Result<Option<Agent>, Error> {
    let Some(id) = host_id else { return Ok(None) };
    let mut host: Option<NodeInstance> = view.get(&scoped(tenant, id)).await?;
    for _ in 0..PROXIES_MAX {
        let Some(instance) = host else { break };
        let properties = object(instance.runtime_properties.as_ref())?;
        if let Some(agent) = properties.get("cloudify_agent").and_then(known) {
            return Ok(Some(agent));
        }
        host = proxy(view, tenant, &instance).await?;
    }
    Ok(None)
}

/// What the runtime property `cloudify_agent` says.
fn known(property: &Value) -> Option<Agent> {
    let text = |key: &str| property.get(key)?.as_str().map(str::to_owned);
    let rest_host = match property.get("rest_host") {
        Some(Value::String(host)) => vec![host.clone()],
        Some(Value::Array(hosts)) => hosts
            .iter()
            .filter_map(|host| host.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    };
    Some(Agent {
        queue: text("queue")?,
        name: text("name")?,
        rest_host,
    })
}

/// The node instance of another deployment of the tenant whose agent serves this host, too.
async fn proxy(
    view: &Reader,
    tenant: &str,
    instance: &NodeInstance,
) -> Result<Option<NodeInstance>, Error> {
    let key = Node::key_of(tenant, &instance.deployment_id, &instance.node_id);
    let node: Option<Node> = view.get(&key).await?;
    let Some(node) = node else { return Ok(None) };
    let properties = object(node.properties.as_ref())?;
    let config = properties.get("agent_config");
    let Some(proxy) = config.and_then(|config| config.get("extra")?.get("proxy")) else {
        return Ok(None);
    };
    let text = |key: &str| proxy.get(key).and_then(Value::as_str);
    let (Some(deployment), Some(wanted)) = (text("deployment"), text("node_instance")) else {
        return Ok(None);
    };
    // messages go to agents of the own tenant only
    if text("tenant").is_some_and(|other| other != tenant) {
        return Ok(None);
    }
    let found: Option<NodeInstance> = view.get(&scoped(tenant, wanted)).await?;
    Ok(found.filter(|found| found.deployment_id == deployment))
}

/// The executor's ways to agents; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Agents {
    tenants: Option<Tenants>,
    listening: Arc<Mutex<HashSet<String>>>,
    answers: mpsc::Sender<Delivery>,
    tasks: Tasks,
}

impl Agents {
    /// Answers of agents go to `answers`.
    pub(super) fn new(ctx: &Context, tasks: &Tasks, answers: mpsc::Sender<Delivery>) -> Self {
        Self {
            tenants: ctx.tenants.clone(),
            listening: Arc::default(),
            answers,
            tasks: tasks.clone(),
        }
    }

    /// A tenant's virtual host, whose answers are taken from now on.
    pub(super) fn of(&self, tenant: &str) -> Option<Peer> {
        let peer = self.tenants.as_ref()?.of(tenant);
        let mut listening = self
            .listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if listening.insert(tenant.to_owned()) {
            let (peer, answers) = (peer.clone(), self.answers.clone());
            self.tasks.spawn(
                "answers of agents",
                listen(peer, answers, self.tasks.stop_token()),
            );
        }
        Some(peer)
    }
}

async fn listen(peer: Peer, answers: mpsc::Sender<Delivery>, stop: CancellationToken) {
    let topology = crate::broker::Topology::default().durable(RESPONSE_QUEUE);
    if let Err(error) = peer.broker().declare(&topology).await {
        tracing::debug!(%error, "the response queue is declared once the broker is there");
    }
    let mut deliveries = peer.broker().consume(ConsumerSpec {
        queue: RESPONSE_QUEUE.to_owned(),
        prefetch: PREFETCH,
    });
    let taking = async {
        while let Some(delivery) = deliveries.recv().await {
            peer.heard_from(&delivery.exchange);
            if answers.send(delivery).await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(taking).await;
}

/// Sends an operation to an agent that has just shown to be there. While the broker is away it
/// waits; the execution's end ends that.
///
/// # Errors
/// What the operation fails with when the agent is silent.
pub(super) async fn send(peer: &Peer, agent: &Agent, message: &Message) -> Result<(), TaskError> {
    loop {
        let sent = match peer.ping(&agent.queue, PING).await {
            Ok(()) => publish(peer, &agent.queue, message).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => return Ok(()),
            Err(AskError::Nobody(_) | AskError::Silent(_)) => return Err(silent(agent)),
            Err(AskError::Broker(error)) => {
                tracing::debug!(agent = agent.name, %error, "an operation waits for the broker");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn publish(peer: &Peer, queue: &str, message: &Message) -> Result<(), AskError> {
    peer.bind(RESPONSE_QUEUE, queue).await?;
    match peer.broker().publish(message).await {
        Err(BrokerError::Unroutable { .. }) => Err(AskError::Nobody(queue.to_owned())),
        other => Ok(other?),
    }
}

fn silent(agent: &Agent) -> TaskError {
    TaskError::recoverable(format!("Timed out waiting for agent: {}", agent.name))
}

/// What an operation fails with whose agent went away with it.
pub(super) fn lost(agent: &str, silence: Duration) -> TaskError {
    TaskError::recoverable(format!(
        "The agent {agent} has not been heard of for {} seconds; what became of the operation is \
         not known",
        silence.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_is_known_by_its_queue_and_name() {
        let property = json!({"queue": "q", "name": "n", "rest_host": ["10.0.0.1", "10.0.0.2"]});
        let agent = known(&property).unwrap();
        assert_eq!((agent.queue.as_str(), agent.name.as_str()), ("q", "n"));
        assert_eq!(agent.rest_host, ["10.0.0.1", "10.0.0.2"]);
        let one = known(&json!({"queue": "q", "name": "n", "rest_host": "10.0.0.1"})).unwrap();
        assert_eq!(one.rest_host, ["10.0.0.1"]);
        assert_eq!(
            known(&json!({"queue": "q"})),
            None,
            "a proxied one has no name"
        );
        assert_eq!(known(&json!({"name": "n"})), None);
    }
}
