//! `stratalog`: the operator's tool.
mod blueprint;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Operate a Stratalog manager, and work on blueprints without one.
#[derive(Debug, Parser)]
#[command(name = "stratalog", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check and plan blueprints, offline.
    #[command(subcommand)]
    Blueprint(blueprint::Command),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Blueprint(command) => blueprint::run(command),
    }
}
