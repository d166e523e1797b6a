//! Consumers of the message broker that turn what arrives into appended records.
pub mod logs;
