//! Consumers of the message broker: of what becomes records of the log, and of metrics, which are
//! only remembered.
pub mod logs;
pub mod metrics;
