//! What may be typed after `cargo xtask`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{dev_services, oracle, test};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development commands of Stratalog")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every test against a private PostgreSQL and RabbitMQ
    Test(TestArgs),
    /// A private PostgreSQL and RabbitMQ for single tests: start, stop, or print how to reach them
    Services(ServicesArgs),
    /// Answer a folder of blueprint cases with the release build
    Dsl(DslArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Then compare with what the reference answered, where its recorded cases are at hand
    #[arg(long)]
    pub(crate) oracle: bool,
    /// Where the services keep their files [default: .stratalog/test]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Passed on to `cargo nextest run`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct DslArgs {
    /// The folder of cases
    #[arg(long, value_name = "DIR")]
    pub(crate) cases: PathBuf,
    /// Where the answers go
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    #[command(subcommand)]
    pub(crate) action: ServicesAction,
    /// Where they keep their files [default: .stratalog/test]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServicesAction {
    /// Start them if they do not run, and print the environment for tests
    Start {
        /// Throw away what an earlier start left
        #[arg(long)]
        fresh: bool,
        /// Write to the disk what a crash of the machine must not lose (slower)
        #[arg(long)]
        durable: bool,
    },
    /// Stop them
    Stop,
    /// Print the environment for tests: eval "$(cargo xtask services env)"
    Env,
}

pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Test(args) => return test::run(&args),
        Command::Dsl(args) => oracle::answer(&args.cases, &args.out)?,
        Command::Services(args) => dev_services::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
