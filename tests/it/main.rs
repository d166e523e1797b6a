//! Integration tests: one program, so that it links once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod agents;
mod as_of;
mod audit;
mod chaos;
mod dsl;
mod ldap;
mod log;
mod plugins;
mod replay;
mod rest;
mod snapshots;
mod support;
mod transcripts;
mod verify;
mod workflow;
