//! Exchanges, queues and bindings, named as every peer expects them.
//!
//! Peers declare the same things again with nothing but `durable=true`; any other argument here
//! would make the broker refuse them. So there are no arguments but for queues that nobody else
//! knows, and the type of a queue is left to the virtual host's default.
use std::collections::{BTreeMap, BTreeSet};

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

/// Operations, workflows and their responses.
pub const MANAGEMENT_EXCHANGE: &str = "cloudify.management";
pub const OPERATION_QUEUE: &str = "cloudify.management_operation";
pub const OPERATION_ROUTING_KEY: &str = "operation";
pub const WORKFLOW_QUEUE: &str = "cloudify.management_workflow";
pub const WORKFLOW_ROUTING_KEY: &str = "workflow";
/// Service tasks for every manager.
pub const SERVICE_EXCHANGE: &str = "cloudify-mgmtworker-service";
pub const SERVICE_ROUTING_KEY: &str = "service";
pub const EVENTS_EXCHANGE: &str = "cloudify-events-topic";
pub const EVENTS_PATTERN: &str = "events.#";
pub const HOOKS_ROUTING_KEY: &str = "events.hooks";
pub const HOOKS_QUEUE: &str = "cloudify-hooks";
pub const LOGS_EXCHANGE: &str = "cloudify-logs";
pub const LOGS_EVENTS_QUEUE: &str = "cloudify-logs-events";
/// What workers and agents tell of themselves. The reference has only its name left, in what users
/// of agents may write to, so those that were made for older agents may tell, too.
pub const METRICS_EXCHANGE: &str = "cloudify-monitoring";
/// Where the native executor takes the responses of all its executions.
pub const RESPONSE_QUEUE: &str = "execution_responses_stratalog";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Direct,
    Fanout,
    Topic,
}

impl From<Kind> for ExchangeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Direct => Self::Direct,
            Kind::Fanout => Self::Fanout,
            Kind::Topic => Self::Topic,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    pub exchange: String,
    pub queue: String,
    pub routing_key: String,
}

/// A set of declarations; everything in it is durable, except queues of the connection's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    pub exchanges: BTreeSet<Exchange>,
    pub queues: BTreeSet<String>,
    /// Queues that go with the connection; some keep only so many messages, the newest.
    pub exclusive: BTreeMap<String, Option<u16>>,
    pub bindings: BTreeSet<Binding>,
}

impl Topology {
    #[must_use]
    pub fn exchange(mut self, name: &str, kind: Kind) -> Self {
        self.exchanges.insert(Exchange {
            name: name.to_owned(),
            kind,
        });
        self
    }

    /// A queue bound to an exchange of this topology.
    #[must_use]
    pub fn queue(mut self, name: &str, exchange: &str, routing_key: &str) -> Self {
        self.queues.insert(name.to_owned());
        self.binding(name, exchange, routing_key)
    }

    /// A queue without a binding.
    #[must_use]
    pub fn durable(mut self, name: &str) -> Self {
        self.queues.insert(name.to_owned());
        self
    }

    /// A queue that only this connection uses.
    #[must_use]
    pub fn exclusive(mut self, name: &str) -> Self {
        self.exclusive.insert(name.to_owned(), None);
        self
    }

    /// The same, for what is worth nothing once there is newer: only the newest messages are kept.
    #[must_use]
    pub fn newest(mut self, name: &str, messages_max: u16) -> Self {
        self.exclusive.insert(name.to_owned(), Some(messages_max));
        self
    }

    /// Lets a queue that is declared already take messages of an exchange.
    #[must_use]
    pub fn binding(mut self, queue: &str, exchange: &str, routing_key: &str) -> Self {
        self.bindings.insert(Binding {
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            routing_key: routing_key.to_owned(),
        });
        self
    }

    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        Self {
            exchanges: &self.exchanges | &other.exchanges,
            queues: &self.queues | &other.queues,
            exclusive: self
                .exclusive
                .clone()
                .into_iter()
                .chain(other.exclusive.clone())
                .collect(),
            bindings: &self.bindings | &other.bindings,
        }
    }

    pub(super) fn without_queue(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.queues.remove(name);
        rest.exclusive.remove(name);
        rest.bindings.retain(|binding| binding.queue != name);
        rest
    }

    pub(super) fn without_exchange(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.exchanges.retain(|exchange| exchange.name != name);
        rest.bindings.retain(|binding| binding.exchange != name);
        rest
    }
}

/// Everything a manager process needs in the virtual host `/`. `manager_name` names its own service
/// queue.
pub fn management(manager_name: &str) -> Topology {
    Topology::default()
        .exchange(MANAGEMENT_EXCHANGE, Kind::Direct)
        .queue(OPERATION_QUEUE, MANAGEMENT_EXCHANGE, OPERATION_ROUTING_KEY)
        .queue(WORKFLOW_QUEUE, MANAGEMENT_EXCHANGE, WORKFLOW_ROUTING_KEY)
        .exchange(SERVICE_EXCHANGE, Kind::Fanout)
        .queue(
            &service_queue(manager_name),
            SERVICE_EXCHANGE,
            SERVICE_ROUTING_KEY,
        )
        .exchange(EVENTS_EXCHANGE, Kind::Topic)
        .queue(HOOKS_QUEUE, EVENTS_EXCHANGE, HOOKS_ROUTING_KEY)
        .exchange(LOGS_EXCHANGE, Kind::Fanout)
        .queue(LOGS_EVENTS_QUEUE, LOGS_EXCHANGE, "")
        .queue(LOGS_EVENTS_QUEUE, EVENTS_EXCHANGE, EVENTS_PATTERN)
}

/// The one queue on which the native executor receives the responses of all executions. The routing
/// key of a response is the request's `reply_to`, and the response is published on the exchange the
/// request came through.
pub fn shared_responses() -> Topology {
    responses_in(RESPONSE_QUEUE, MANAGEMENT_EXCHANGE)
}

/// The response queue of one execution, as workflows written in Python use it.
pub fn execution_responses(execution_id: &str) -> Topology {
    responses_in(&response_queue(execution_id), MANAGEMENT_EXCHANGE)
}

/// The same for the exchange of an agent.
pub fn responses_in(queue: &str, exchange: &str) -> Topology {
    Topology::default()
        .exchange(exchange, Kind::Direct)
        .queue(queue, exchange, queue)
}

/// What an agent consumes, in the virtual host of its tenant.
pub fn agent(queue: &str) -> Topology {
    Topology::default()
        .exchange(queue, Kind::Direct)
        .queue(&format!("{queue}_operation"), queue, OPERATION_ROUTING_KEY)
        .queue(&format!("{queue}_service"), queue, SERVICE_ROUTING_KEY)
}

/// Where metrics are told, for those who tell.
pub fn metrics() -> Topology {
    Topology::default().exchange(METRICS_EXCHANGE, Kind::Topic)
}

/// The same with a queue of the connection's own, for those who listen.
pub fn metrics_in(queue: &str, messages_max: u16) -> Topology {
    metrics()
        .newest(queue, messages_max)
        .binding(queue, METRICS_EXCHANGE, "#")
}

pub fn service_queue(manager_name: &str) -> String {
    format!("{SERVICE_EXCHANGE}-{manager_name}_service")
}

pub fn response_queue(execution_id: &str) -> String {
    format!("execution_responses_{execution_id}")
}

pub(super) async fn declare(channel: &Channel, topology: &Topology) -> Result<(), lapin::Error> {
    for exchange in &topology.exchanges {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let kind = exchange.kind.into();
        channel
            .exchange_declare(
                exchange.name.as_str().into(),
                kind,
                options,
                FieldTable::default(),
            )
            .await?;
    }
    let durable = topology.queues.iter().map(|queue| (queue, false, None));
    let exclusive = topology.exclusive.iter();
    let exclusive = exclusive.map(|(queue, messages_max)| (queue, true, *messages_max));
    for (queue, exclusive, messages_max) in durable.chain(exclusive) {
        let options = QueueDeclareOptions {
            durable: !exclusive,
            exclusive,
            ..Default::default()
        };
        let mut arguments = FieldTable::default();
        if let Some(messages_max) = messages_max {
            let limit = AMQPValue::LongInt(messages_max.into());
            arguments.insert("x-max-length".into(), limit);
        }
        channel
            .queue_declare(queue.as_str().into(), options, arguments)
            .await?;
    }
    for binding in &topology.bindings {
        channel
            .queue_bind(
                binding.queue.as_str().into(),
                binding.exchange.as_str().into(),
                binding.routing_key.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}
