//! `stratalog`: the operator's tool.
//!
//! Exit codes: 0 all is well, 1 something wrong was found, 2 wrong usage, 3 it could not be done
//! (the database cannot be reached, a file cannot be read).
mod audit;
mod blueprint;
mod completions;
mod console;
mod database;
mod explain;
mod replay;
mod snapshot;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Operate a Stratalog manager, and work on blueprints without one.
#[derive(Debug, Parser)]
#[command(
    name = "stratalog",
    version,
    after_help = "Exit codes:\n  0  all is well\n  1  something wrong was found\n  \
                  2  wrong usage\n  3  it could not be done: the database cannot be reached, \
                  a file cannot be read"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check and plan blueprints, offline.
    #[command(subcommand)]
    Blueprint(blueprint::Command),
    /// Prove that the log is what was appended, or name the first position that is not.
    Verify(verify::Arguments),
    /// Who did what, to what, on whose behalf.
    Audit(Box<audit::Arguments>),
    /// What was decided of an execution, by whom, and what was seen then.
    Explain(explain::Arguments),
    /// Rebuild all views from the log and put them in the place of the live ones.
    Replay(replay::Arguments),
    /// Write, check and restore snapshots: the whole manager as one file.
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Blueprint(command) => blueprint::run(command),
        Command::Verify(arguments) => database::block_on(verify::run(arguments)),
        Command::Audit(arguments) => database::block_on(audit::run(*arguments)),
        Command::Explain(arguments) => database::block_on(explain::run(arguments)),
        Command::Replay(arguments) => database::block_on(replay::run(arguments)),
        Command::Snapshot(command) => snapshot::run(command),
        Command::Completions(arguments) => completions::run::<Arguments>(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(console::COULD_NOT)
    })
}
