//! The executor: runs workflows as deterministic state machines over the event log.
//!
//! `executor` follows the log and gives each execution a `runner`; a runner lets a `graph` decide
//! (pure), writes the decisions down (`commit`), then sends operations (`outbox` to workers,
//! `errands` to `agents`) and takes the answers it waits for (`routes`). `builtin` builds the
//! graphs of the built-in workflows over a `topology`, `operation` the messages to workers,
//! `retry` says what a failure leads to, and `system` runs what has no graph. All of it happens
//! within a `term`, during which no other process does the same.
//!
//! **Invariant:** nothing leaves the process before what it follows from is durable, so a process
//! that ends anywhere is followed by one that goes on: unanswered operations are sent again under
//! the same id, and receivers recognise them.
mod agents;
mod builtin;
mod commit;
mod errands;
mod executor;
mod graph;
mod operation;
mod outbox;
mod retry;
mod routes;
mod runner;
mod settings;
mod system;
mod term;
mod topology;

pub use executor::run;
