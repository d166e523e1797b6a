//! Stratalog: an event-sourced manager for Cloudify blueprints. Modules in layer order, lowest
//! first.
pub mod clock;
pub mod config;
pub mod error;
pub mod names;
pub mod seal;
pub mod tasks;
pub mod telemetry;
pub mod trust;

pub mod dsl;

pub mod broker;
pub mod db;
pub mod files;
pub mod ldap;
pub mod log;

pub mod auth;
pub mod store;

pub mod commands;
pub mod context;

pub mod snapshot;

pub mod worker;

pub mod agents;
pub mod consumers;
pub mod listener;
pub mod rest;
pub mod scheduler;
pub mod tls;
pub mod workflow;

pub mod server;
