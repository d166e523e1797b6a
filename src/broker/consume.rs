//! Consumers with manual acknowledgement that outlive the connection.
use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use lapin::{
    Channel, Consumer,
    message::Delivery as Received,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions},
    types::FieldTable,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Broker, Error, connection::Session};

/// Pause before consuming again on a connection that is still alive.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    pub queue: String,
    /// Deliveries handed out and not yet acknowledged; at least 1.
    pub prefetch: u16,
}

/// One message, to be acknowledged through [`Delivery::ack`].
#[derive(Debug)]
pub struct Delivery {
    pub body: Vec<u8>,
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    pub message_id: Option<String>,
    /// The user who sent it, if the message says so: the broker lets nobody name another one.
    pub sender: Option<String>,
    pub ack: Ack,
}

/// The right to acknowledge a delivery. Dropping it without doing so leaves the message with the
/// broker, which delivers it again when this consumer's channel has ended.
#[derive(Clone, Debug)]
pub struct Ack {
    acker: lapin::Acker,
    tag: u64,
    /// Held so that the channel lives as long as something received on it can still be
    /// acknowledged.
    _channel: Channel,
}

impl Ack {
    /// Grows with every delivery of one connection's consumer.
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// False once the connection it was received on is gone: the message will come again.
    pub fn is_usable(&self) -> bool {
        self.acker.usable()
    }

    pub async fn ack(&self) -> Result<(), Error> {
        self.acknowledge(false).await
    }

    /// Acknowledges this delivery and every earlier one of the same consumer.
    pub async fn ack_up_to(&self) -> Result<(), Error> {
        self.acknowledge(true).await
    }

    /// Gives the message back, to be delivered again (`requeue`) or dropped.
    pub async fn reject(&self, requeue: bool) -> Result<(), Error> {
        let options = BasicNackOptions {
            requeue,
            ..Default::default()
        };
        accepted(self.acker.nack(options).await?)
    }

    async fn acknowledge(&self, multiple: bool) -> Result<(), Error> {
        accepted(self.acker.ack(BasicAckOptions { multiple }).await?)
    }
}

fn accepted(done: bool) -> Result<(), Error> {
    if done {
        Ok(())
    } else {
        Err(Error::Down("the delivery's channel has ended".to_owned()))
    }
}

/// The receiving end of a consumer; dropping it or [`Deliveries::stop`] ends the consumer.
#[derive(Debug)]
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
}

impl Deliveries {
    /// `None` only after [`Deliveries::stop`] or when the broker handle was cancelled.
    pub async fn recv(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }

    /// What has already arrived, without waiting.
    pub fn try_recv(&mut self) -> Option<Delivery> {
        self.receiver.try_recv().ok()
    }

    /// Asks the broker for no more. What was received can still be acknowledged.
    pub fn stop(&mut self) {
        self.stop.cancel();
        self.receiver.close();
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Broker {
    /// Starts a consumer that comes back after every loss of the connection. The queue must be part
    /// of the topology given at the start or by [`Broker::declare`].
    pub fn consume(&self, spec: ConsumerSpec) -> Deliveries {
        let (sender, receiver) = mpsc::channel(usize::from(spec.prefetch.max(1)));
        let stop = self.shared.cancel.child_token();
        let task = Task {
            broker: self.clone(),
            spec,
            sender,
            stop: stop.clone(),
        };
        self.shared.tasks.spawn(task.run());
        Deliveries { receiver, stop }
    }
}

struct Task {
    broker: Broker,
    spec: ConsumerSpec,
    sender: mpsc::Sender<Delivery>,
    stop: CancellationToken,
}

impl Task {
    async fn run(self) {
        let mut sessions = self.broker.shared.session.subscribe();
        let stop = self.stop.clone();
        loop {
            let session = tokio::select! {
                () = stop.cancelled() => return,
                session = next_session(&mut sessions) => match session {
                    Some(session) => session,
                    None => return,
                },
            };
            match self.consume(&session).await {
                Ok(()) => debug!(queue = %self.spec.queue, "the consumer has ended"),
                Err(error) => {
                    warn!(queue = %self.spec.queue, session = session.number, %error, "lost");
                }
            }
            // The connection's end, which usually is the reason, shows as a new session within the
            // pause.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(REOPEN_PAUSE) => {}
            }
        }
    }

    async fn consume(&self, session: &Arc<Session>) -> Result<(), Error> {
        // The queue may have been deleted by somebody since the connection was made.
        session.declare(&self.broker.shared.topology.load()).await?;
        let channel = session.channel().await?;
        channel
            .basic_qos(self.spec.prefetch.max(1), Default::default())
            .await?;
        let consumer = channel
            .basic_consume(
                self.spec.queue.as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        self.forward(&channel, consumer).await
    }

    async fn forward(&self, channel: &Channel, mut consumer: Consumer) -> Result<(), Error> {
        loop {
            let next = tokio::select! {
                () = self.stop.cancelled() => {
                    let tag = consumer.tag();
                    channel.basic_cancel(tag, BasicCancelOptions::default()).await?;
                    return Ok(());
                }
                next = consumer.next() => next,
            };
            let Some(delivery) = next else { return Ok(()) };
            if self
                .sender
                .send(received(delivery?, channel))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    }
}

async fn next_session(
    sessions: &mut watch::Receiver<Option<Arc<Session>>>,
) -> Option<Arc<Session>> {
    let session = sessions.wait_for(Option::is_some).await.ok()?;
    session.clone()
}

fn received(delivery: Received, channel: &Channel) -> Delivery {
    let properties = &delivery.properties;
    Delivery {
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        redelivered: delivery.redelivered,
        reply_to: properties.reply_to().as_ref().map(ToString::to_string),
        correlation_id: properties
            .correlation_id()
            .as_ref()
            .map(ToString::to_string),
        message_id: properties.message_id().as_ref().map(ToString::to_string),
        sender: properties.user_id().as_ref().map(ToString::to_string),
        ack: Ack {
            acker: delivery.acker,
            tag: delivery.delivery_tag,
            _channel: channel.clone(),
        },
        body: delivery.data,
    }
}
