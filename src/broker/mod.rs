//! RabbitMQ: one supervised connection per process and role, the topology that peers expect to
//! find, confirmed publishing, consumers with manual acknowledgement, the bodies of the messages,
//! and the management API.
//!
//! Invariants:
//! - nothing here waits for the broker at start: [`Broker::start`] returns at once and the
//!   connection is made, and made again, in the background for as long as the process lives;
//! - [`Broker::publish`] resolves with `Ok` only when the broker confirmed that it keeps the
//!   message. While the connection is down it fails at once; keeping what is still to be sent is
//!   the business of the caller's outbox;
//! - a delivery is gone from the broker only after [`Ack::ack`]. Whoever loses the connection
//!   before gets it again, so consumers must recognise what they have already done.
pub mod admin;
mod connection;
mod consume;
mod error;
mod line;
mod notice;
mod publish;
mod tenants;
pub mod topology;
pub mod wire;

pub use admin::{Admin, AdminError, AdminOptions};
pub use connection::{Broker, BrokerState, Options};
pub use consume::{Ack, ConsumerSpec, Deliveries, Delivery};
pub use error::Error;
pub use line::{Line, address};
pub use notice::Notice;
pub use publish::Message;
pub use tenants::{AskError, Peer, Tenants};
pub use topology::Topology;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
