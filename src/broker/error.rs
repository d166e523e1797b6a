//! What can go wrong between us and the broker.
use std::path::PathBuf;

/// Every failure is transient from the caller's view, except [`Error::Configuration`] and
/// [`Error::Unroutable`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the message broker is not connected: {0}")]
    Down(String),
    #[error("the message broker did not confirm the message within {0} ms")]
    ConfirmTimeout(u64),
    #[error("the message broker refused the message")]
    Refused,
    #[error("no queue takes messages of exchange {exchange} with routing key {routing_key}")]
    Unroutable {
        exchange: String,
        routing_key: String,
    },
    #[error("invalid broker setting: {0}")]
    Configuration(String),
    #[error("cannot read the broker's CA file {path}")]
    CaFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
}

impl Error {
    /// Whether there is no connection, so that trying again at once is in vain.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down(_))
    }
}
