//! Development commands, run as `cargo xtask COMMAND`: a private environment to try and test the
//! manager in, and the checks of the house. Uses nothing of the manager's own code, so that it
//! builds in seconds and works when the rest does not compile.
#![allow(
    clippy::print_stdout,
    reason = "a command-line program talks on its standard output"
)]

mod account;
mod bench;
mod ci;
mod cli;
mod demo;
mod dev_services;
mod layers;
mod oracle;
mod packages;
mod process;
mod rest;
mod services;
mod signals;
mod test;
mod tidy;
mod up;
mod venv;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
