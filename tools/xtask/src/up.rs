//! `cargo xtask up` and `down`: the whole manager with everything it needs, in one directory.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cli::UpArgs;
use crate::process::{Process, Stop};
use crate::rest::Rest;
use crate::services::{self, Options, Services};
use crate::signals::Interrupt;
use crate::workspace::{self, DataDir};
use crate::{demo, packages, venv};

/// Where the environment lives, below the root of the checkout.
const DEFAULT_DIR: &str = ".stratalog";
const SERVER: &str = "stratalogd";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// The library with which the worker runs Python scripts and plugins.
const REQUIREMENTS: [&str; 1] = ["cloudify-common==7.0.5"];

pub(crate) fn up(args: &UpArgs) -> Result<ExitCode> {
    let data = DataDir::new(args.data.clone(), DEFAULT_DIR)?;
    let interrupt = Interrupt::install()?;
    if Process::find(&data, SERVER)?.is_some() {
        bail!(
            "{} is up already: `cargo xtask down` stops it",
            data.path().display()
        );
    }
    let python = prepare(&data, args)?;
    if interrupt.asked() {
        return Ok(ExitCode::FAILURE);
    }
    let outcome = start(&data, args, &python).and_then(|process| {
        let rest = Rest::new(args.rest_port);
        if args.demo {
            demo::run(&rest, &workspace::root().join(demo::BLUEPRINT), &interrupt)?;
        }
        print_next_steps(&data, args);
        Ok(process)
    });
    match outcome {
        Ok(_) if args.detach && !interrupt.asked() => Ok(ExitCode::SUCCESS),
        Ok(process) => stay(&data, &process, &interrupt),
        Err(error) => {
            stop(&data)?;
            Err(error)
        }
    }
}

/// Everything that is made once and then found again.
fn prepare(data: &DataDir, args: &UpArgs) -> Result<PathBuf> {
    let mut needed = vec![packages::PYTHON_VENV];
    if args.database_url.is_none() {
        needed.push(packages::POSTGRESQL);
    }
    if args.amqp_url.is_none() {
        needed.push(packages::RABBITMQ);
    }
    packages::ensure(&needed)?;
    data.create()?;
    let python = venv::ensure(data, &REQUIREMENTS)?;
    println!("building");
    let mut build = workspace::cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "stratalog",
        "--package",
        "stratalog-ops",
    ]);
    workspace::run(build.args(["--bin", "stratalogd", "--bin", "stratalog"]))?;
    Ok(python)
}

fn start(data: &DataDir, args: &UpArgs, python: &Path) -> Result<Process> {
    let begin = Instant::now();
    let options = Options {
        postgres: args.database_url.is_none(),
        rabbitmq: args.amqp_url.is_none(),
        durable: true,
    };
    let services = Services::start(data, options)?;
    let services_time = begin.elapsed();
    let mut command = Command::new(workspace::target_dir().join("release/stratalogd"));
    command
        .arg("serve")
        .current_dir(data.path())
        .env("STRATALOG_PYTHON", python);
    configure(&mut command, data, args, &services)?;
    let process = Process::start(data, SERVER, &mut command)?;
    let rest = Rest::new(args.rest_port);
    process.wait_until(READY_TIMEOUT, || rest.is_ready())?;
    println!(
        "ready after {:.1} s (PostgreSQL and RabbitMQ {:.1} s, stratalogd {:.1} s)",
        begin.elapsed().as_secs_f32(),
        services_time.as_secs_f32(),
        (begin.elapsed() - services_time).as_secs_f32()
    );
    Ok(process)
}

/// The environment is the server's configuration; what the caller has set goes first.
fn configure(
    command: &mut Command,
    data: &DataDir,
    args: &UpArgs,
    services: &Services,
) -> Result<()> {
    let database = services.postgres.as_ref().map(services::Postgres::url);
    let database = args
        .database_url
        .clone()
        .or(database)
        .context("no database")?;
    let amqp = services.rabbitmq.as_ref().map(services::RabbitMq::url);
    let amqp = args
        .amqp_url
        .clone()
        .or(amqp)
        .context("no message broker")?;
    let management = services
        .rabbitmq
        .as_ref()
        .map(services::RabbitMq::management_url);
    let management = args.amqp_management_url.clone().or(management);
    command
        .env("STRATALOG_DATABASE_URL", database)
        .env("STRATALOG_AMQP_URL", amqp)
        .env("STRATALOG_DATA_DIR", data.join("files"))
        .env(
            "STRATALOG_REST_LISTEN",
            format!("127.0.0.1:{}", args.rest_port),
        )
        .env(
            "STRATALOG_INTERNAL_LISTEN",
            format!("127.0.0.1:{}", args.internal_port),
        );
    if let Some(management) = management {
        command.env("STRATALOG_AMQP_MANAGEMENT_URL", management);
    }
    for (name, value) in [
        ("STRATALOG_ADMIN_PASSWORD", "admin"),
        ("STRATALOG_LOG", "info"),
        ("STRATALOG_LOG_FORMAT", "text"),
    ] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    Ok(())
}

fn print_next_steps(data: &DataDir, args: &UpArgs) {
    let port = args.rest_port;
    println!("\nStratalog is up: http://127.0.0.1:{port}, user admin, password admin\n");
    println!("Try it with the Cloudify command line:");
    println!("    python3 -m venv cfy && cfy/bin/pip install cloudify==7.0.5");
    println!(
        "    cfy/bin/cfy profiles use 127.0.0.1 -u admin -p admin -t default_tenant \
         --rest-port {port}"
    );
    println!(
        "    cfy/bin/cfy blueprints upload -b guestbook {}/blueprint.yaml",
        demo::BLUEPRINT
    );
    println!("    cfy/bin/cfy install guestbook    # or: executions start install -d DEPLOYMENT\n");
    println!("Logs: {}", data.log().display());
    if args.detach {
        let data_option = match &args.data {
            Some(dir) => format!(" --data {}", dir.display()),
            None => String::new(),
        };
        println!("Stop: cargo xtask down{data_option}");
    } else {
        println!("Stop: Ctrl-C");
    }
}

/// Waits for Ctrl-C, or for the server to end by itself; then stops everything.
fn stay(data: &DataDir, process: &Process, interrupt: &Interrupt) -> Result<ExitCode> {
    interrupt.wait_or(|| !process.runs());
    let died = !interrupt.asked();
    if died {
        println!("stratalogd ended by itself; see {}", data.log().display());
    }
    println!("\nstopping");
    stop(data)?;
    Ok(if died {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

pub(crate) fn down(dir: Option<PathBuf>) -> Result<()> {
    let data = DataDir::new(dir, DEFAULT_DIR)?;
    let stopped = stop(&data)?;
    if stopped.is_empty() {
        println!("nothing runs in {}", data.path().display());
    } else {
        println!("stopped: {}", stopped.join(", "));
    }
    Ok(())
}

/// The server first, so that it can finish what it does; then what it relies on.
fn stop(data: &DataDir) -> Result<Vec<&'static str>> {
    let mut stopped = Vec::new();
    if let Some(process) = Process::find(data, SERVER)? {
        process.stop(Stop::Terminate)?;
        stopped.push(SERVER);
    }
    stopped.extend(services::stop(data)?);
    Ok(stopped)
}
