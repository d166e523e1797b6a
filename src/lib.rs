//! Stratalog: an event-sourced manager for Cloudify blueprints. Modules in layer order, lowest first.
pub mod clock;
pub mod error;
pub mod tasks;

pub mod dsl;

pub mod broker;
pub mod db;
pub mod files;
pub mod log;

pub mod store;

pub mod snapshot;

pub mod worker;

pub mod listener;
pub mod tls;
