//! The event log: the only writer of its tables, and everything that reads it in order.
//!
//! Appends of the whole process go through one writer task, which commits what has gathered as one
//! batch (`append`, `writer`); a second connection makes batches durable before anybody hears of
//! them (`flush`). **Invariant:** positions are dense, in commit order, and visible in that order,
//! so that `position > last` never skips an event.
pub mod append;
pub mod audit;
pub mod chain;
mod columns;
mod flush;
mod heads;
mod latest;
mod prepared;
pub mod read;
pub mod replay;
pub(crate) mod segment;
mod session;
mod statements;
mod statistics;
pub mod subscribe;
mod tail;
pub mod telemetry;
pub mod transfer;
pub mod verify;
mod window;
mod writer;

pub use append::{Append, Appended, Expected, Log, NewEvent};
pub use latest::{Known, Latest};
pub use subscribe::Subscription;

/// Key of the transaction advisory lock under which positions are taken.
pub const LOG_LOCK: i64 = 0x5354_5241_0002;

/// Key of the session advisory lock that whoever rebuilds views holds.
const REPLAY_LOCK: i64 = 0x5354_5241_0003;
