//! Confirmed publishing.
use std::time::Duration;

use lapin::{
    BasicProperties, Confirmation,
    options::BasicPublishOptions,
    types::{LongLongUInt, ShortString},
};
use serde::Serialize;
use serde_json::Value;

use super::{Broker, Error};

/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message to send. The body is UTF-8 JSON; like its peers it carries no content type and no
/// headers.
#[derive(Clone, Debug)]
pub struct Message {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub reply_to: Option<String>,
    pub correlation_id: Option<String>,
    /// Tells copies of what is sent apart.
    pub message_id: Option<String>,
    /// After this time the broker may drop it unread.
    pub expiration_ms: Option<LongLongUInt>,
    /// Fail with [`Error::Unroutable`] instead of losing it when no queue takes it.
    pub mandatory: bool,
}

impl Message {
    /// Fails when the body has no JSON form (a map with keys that are no strings).
    pub fn json<T: Serialize>(
        exchange: &str,
        routing_key: &str,
        body: &T,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self::new(exchange, routing_key, serde_json::to_vec(body)?))
    }

    /// A message with a JSON document.
    pub fn document(exchange: &str, routing_key: &str, body: &Value) -> Self {
        Self::new(exchange, routing_key, body.to_string().into_bytes())
    }

    fn new(exchange: &str, routing_key: &str, body: Vec<u8>) -> Self {
        Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            body,
            reply_to: None,
            correlation_id: None,
            message_id: None,
            expiration_ms: None,
            mandatory: false,
        }
    }

    #[must_use]
    pub fn reply_to(mut self, queue: &str) -> Self {
        self.reply_to = Some(queue.to_owned());
        self
    }

    #[must_use]
    pub fn correlation_id(mut self, id: &str) -> Self {
        self.correlation_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn message_id(mut self, id: &str) -> Self {
        self.message_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn expiration_ms(mut self, expiration_ms: u64) -> Self {
        self.expiration_ms = Some(expiration_ms);
        self
    }

    #[must_use]
    pub fn mandatory(mut self) -> Self {
        self.mandatory = true;
        self
    }

    fn properties(&self) -> BasicProperties {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        if let Some(queue) = &self.reply_to {
            properties = properties.with_reply_to(ShortString::from(queue.as_str()));
        }
        if let Some(id) = &self.correlation_id {
            properties = properties.with_correlation_id(ShortString::from(id.as_str()));
        }
        if let Some(id) = &self.message_id {
            properties = properties.with_message_id(ShortString::from(id.as_str()));
        }
        if let Some(expiration_ms) = self.expiration_ms {
            properties = properties.with_expiration(expiration_ms.to_string().into());
        }
        properties
    }
}

impl Broker {
    /// Resolves once the broker has confirmed the message. After an error the message may or may
    /// not have arrived; sending it again is right, because receivers recognise a repeated one by
    /// its id.
    pub async fn publish(&self, message: &Message) -> Result<(), Error> {
        let limit_ms = self.shared.options.confirm_timeout_ms;
        tokio::time::timeout(Duration::from_millis(limit_ms), self.publish_once(message))
            .await
            .unwrap_or(Err(Error::ConfirmTimeout(limit_ms)))
    }

    async fn publish_once(&self, message: &Message) -> Result<(), Error> {
        let session = self.session()?;
        let slot = self.shared.unconfirmed.acquire().await;
        debug_assert!(slot.is_ok(), "the semaphore is never closed");
        let channel = session.publisher().await?;
        let confirmation = channel
            .basic_publish(
                message.exchange.as_str().into(),
                message.routing_key.as_str().into(),
                BasicPublishOptions {
                    mandatory: message.mandatory,
                    ..Default::default()
                },
                &message.body,
                message.properties(),
            )
            .await?
            .await?;
        match confirmation {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => Err(Error::Unroutable {
                exchange: message.exchange.clone(),
                routing_key: message.routing_key.clone(),
            }),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Error::Refused),
        }
    }
}
