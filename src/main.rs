//! `stratalogd`: the manager, or one of its roles.
use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use figment::providers::Serialized;
use serde::Serialize;
use stratalog::{
    config::{Hidden, Settings},
    db::Database,
    server, store, telemetry, worker,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Plans are many small values: this takes a quarter off the time of parsing one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Name under which scripts call the context of their operation.
const CTX: &str = "ctx";

#[derive(Debug, Parser)]
#[command(
    name = "stratalogd",
    version,
    about = "Event-sourced manager for Cloudify blueprints"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the manager with all its roles
    Serve(Options),
    /// Bring the database to this version, and end
    Migrate(Options),
    /// Run the agent of this host
    Agent(worker::agent::cli::Arguments),
    /// Talk to the operation that runs this script
    #[command(disable_help_flag = true)]
    Ctx {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Flags go before the environment (`STRATALOG_…`), that before the file.
#[derive(Debug, Args, Serialize)]
struct Options {
    /// TOML file with settings
    #[arg(long, env = "STRATALOG_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// postgres://user:password@host:port/database
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,
    /// amqp://user:password@host:port/vhost
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    amqp_url: Option<String>,
    /// Where the process keeps its files
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Where the REST API listens
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rest_listen: Option<String>,
    /// Where workers and agents are served over TLS
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_listen: Option<String>,
    /// What is logged: info, stratalog=debug,warn…
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<String>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().map(PathBuf::from).unwrap_or_default();
    if program.file_name().is_some_and(|name| name == CTX) {
        return worker::ctx_command::main(arguments);
    }
    let options = match Cli::parse().command {
        Command::Ctx { arguments } => return worker::ctx_command::main(arguments),
        Command::Agent(arguments) => return ended(agent(arguments)),
        Command::Serve(options) => (options, true),
        Command::Migrate(options) => (options, false),
    };
    ended(run(&options.0, options.1))
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stratalogd cannot go on");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, is_serving: bool) -> anyhow::Result<()> {
    let settings = Settings::load(options.config.as_deref(), Serialized::defaults(options));
    let settings = settings.inspect_err(|_| {
        // logging is one of the settings, so this is said without it
        let Settings {
            log, log_format, ..
        } = Settings::default();
        let _ = telemetry::log(&log, log_format);
    })?;
    telemetry::log(&settings.log, settings.log_format)?;
    let runtime = runtime()?;
    match is_serving {
        true => runtime.block_on(serve(settings)),
        false => runtime.block_on(migrate(&settings.database_url)),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")
}

/// Waits until somebody asks the process to end.
fn asked_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn agent(arguments: worker::agent::cli::Arguments) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let cancel = CancellationToken::new();
        let mut asked = std::pin::pin!(asked_to_end()?);
        let mut running = std::pin::pin!(worker::agent::cli::main(arguments, cancel.clone()));
        tokio::select! {
            done = &mut running => return done,
            () = &mut asked => cancel.cancel(),
        }
        running.await
    })
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut asked = std::pin::pin!(asked_to_end()?);
    let running = tokio::select! {
        started = server::start(settings) => started?,
        () = &mut asked => return Ok(()),
    };
    asked.await;
    running.stop().await;
    Ok(())
}

async fn migrate(database_url: &Hidden) -> anyhow::Result<()> {
    let database = Database::new(&database_url.0, 1)?;
    store::prepare(&database).await?;
    tracing::info!("the database is at this version");
    Ok(())
}
