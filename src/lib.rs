//! Stratalog: an event-sourced manager for Cloudify blueprints. Modules in layer order, lowest first.
pub mod broker;
pub mod dsl;
pub mod files;
