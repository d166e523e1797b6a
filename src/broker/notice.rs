//! What is worth something for a moment only, and how full a queue is: asked and told over channels
//! of their own, because what the broker refuses ends the channel.
use std::time::Duration;

use lapin::{
    BasicProperties, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{Broker, Error, Topology, topology};

/// AMQP's delivery mode of messages that need not survive a restart of the broker.
const TRANSIENT: u8 = 1;

/// A message that may get lost: another one follows soon.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// Declared before: nobody else may have done so.
    pub topology: &'a Topology,
    pub exchange: &'a str,
    pub routing_key: &'a str,
    pub body: &'a [u8],
    /// After this time the broker drops it unread.
    pub expiration_ms: u64,
}

impl Broker {
    /// Sends a notice with the name of the connection's user, which the broker vouches for.
    ///
    /// # Errors
    /// When there is no connection, or the broker refuses what is declared or sent.
    pub async fn notify(&self, notice: &Notice<'_>) -> Result<(), Error> {
        let user = ShortString::from(self.user()?);
        let properties = BasicProperties::default()
            .with_delivery_mode(TRANSIENT)
            .with_user_id(user)
            .with_expiration(notice.expiration_ms.to_string().into());
        let sent = async {
            let channel = self.session()?.channel().await?;
            topology::declare(&channel, notice.topology).await?;
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            let confirmation = channel
                .basic_publish(
                    notice.exchange.into(),
                    notice.routing_key.into(),
                    BasicPublishOptions::default(),
                    notice.body,
                    properties,
                )
                .await?
                .await?;
            channel.close(200, "told".into()).await?;
            match confirmation {
                Confirmation::Ack(_) => Ok(()),
                Confirmation::Nack(_) | Confirmation::NotRequested => Err(Error::Refused),
            }
        };
        self.in_time(sent).await
    }

    /// How many messages of a queue nobody has taken yet.
    ///
    /// # Errors
    /// When there is no connection, or no such queue.
    pub async fn depth(&self, queue: &str) -> Result<u32, Error> {
        let asked = async {
            let channel = self.session()?.channel().await?;
            let options = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let found = channel
                .queue_declare(queue.into(), options, FieldTable::default())
                .await?;
            channel.close(200, "asked".into()).await?;
            Ok(found.message_count())
        };
        self.in_time(asked).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limit_ms = self.shared.options.confirm_timeout_ms;
        tokio::time::timeout(Duration::from_millis(limit_ms), work)
            .await
            .unwrap_or(Err(Error::ConfirmTimeout(limit_ms)))
    }
}
