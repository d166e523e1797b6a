//! What integration tests share.

pub(crate) mod broker;
pub(crate) mod database;
pub(crate) mod env;
