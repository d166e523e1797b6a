//! What may be typed after `cargo xtask`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::{bench, ci, dev_services, layers, oracle, test, tidy, up};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development commands of Stratalog")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and start the manager with a private PostgreSQL and RabbitMQ, and wait until ready
    Up(UpArgs),
    /// Stop everything that `up` started
    Down {
        /// The directory given to `up` [default: .stratalog]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Run every test against a private PostgreSQL and RabbitMQ
    Test(TestArgs),
    /// A private PostgreSQL and RabbitMQ for single tests: start, stop, or print how to reach them
    Services(ServicesArgs),
    /// Every check of the house, as continuous integration runs it
    Ci,
    /// Check the habits of the house: file heads and lengths, nothing unfinished
    Tidy,
    /// Check that no module uses one that stands above it
    Layers,
    /// Run the benchmarks against a PostgreSQL that writes durably, and a RabbitMQ
    Bench {
        /// Passed on to `cargo bench`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Answer a folder of blueprint cases with the release build
    Dsl(DslArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Return when it is ready; else it stays and Ctrl-C stops everything
    #[arg(long)]
    pub(crate) detach: bool,
    /// Where everything keeps its files [default: .stratalog]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The REST API's port on 127.0.0.1
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub(crate) rest_port: u16,
    /// The port of the TLS listener for workers and agents on 127.0.0.1
    #[arg(long, default_value_t = 53333, value_name = "PORT")]
    pub(crate) internal_port: u16,
    /// Then upload, deploy and install a sample blueprint, and show its events
    #[arg(long)]
    pub(crate) demo: bool,
    /// Use this PostgreSQL database instead of a private one
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Use this RabbitMQ instead of a private one
    #[arg(long, value_name = "URL")]
    pub(crate) amqp_url: Option<String>,
    /// The management interface of the RabbitMQ in --amqp-url
    #[arg(long, value_name = "URL", requires = "amqp_url")]
    pub(crate) amqp_management_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Then compare with what the reference answered, where its recorded cases are at hand
    #[arg(long)]
    pub(crate) oracle: bool,
    /// Then run each benchmark once, to see that it works
    #[arg(long)]
    pub(crate) benches: bool,
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
        Command::Up(args) => return up::up(&args),
        Command::Down { data } => up::down(data)?,
        Command::Test(args) => return test::run(&args),
        Command::Ci => return ci::run(),
        Command::Tidy => tidy::run()?,
        Command::Layers => layers::run()?,
        Command::Bench { arguments } => return bench::run(&arguments),
        Command::Dsl(args) => oracle::answer(&args.cases, &args.out)?,
        Command::Services(args) => dev_services::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
