//! `cargo xtask test`: one PostgreSQL and one RabbitMQ for the whole run, then everything.

use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};
use std::{fs, thread};

use anyhow::{Result, bail};

use crate::cli::TestArgs;
use crate::dev_services::{self, DEFAULT_DIR};
use crate::services::{self, Options, Services};
use crate::signals::Interrupt;
use crate::workspace::{self, DataDir};
use crate::{oracle, packages, venv};

/// The real client and, with it, the library workers run plugins with.
const REQUIREMENTS: [&str; 1] = ["cloudify==7.0.5"];
const WITHOUT_DURABILITY: Options = Options {
    postgres: true,
    rabbitmq: true,
    durable: false,
};

/// Runs the tests. The services are stopped again, unless they ran before.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let data = DataDir::new(args.data.clone(), DEFAULT_DIR)?;
    let interrupt = Interrupt::install()?;
    packages::ensure(&[
        packages::POSTGRESQL,
        packages::RABBITMQ,
        packages::PYTHON_VENV,
    ])?;
    data.create()?;
    venv::ensure(&data, &REQUIREMENTS)?;
    let runner = Runner::find()?;
    let shared = services::running(&data)?;
    if !shared {
        services::stop(&data)?;
        services::wipe(&data)?;
    }
    let result = tests(&data, &runner, args, &interrupt);
    if !shared {
        services::stop(&data)?;
    }
    let passed = result?;
    if !passed && !interrupt.asked() {
        println!(
            "databases of failed tests are kept: `cargo xtask services start` and look at the \
             URLs above; logs are in {}",
            data.log().display()
        );
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn tests(data: &DataDir, runner: &Runner, args: &TestArgs, interrupt: &Interrupt) -> Result<bool> {
    // Compiling takes longer than the services' start, so both go on at the same time.
    let (services, built) = thread::scope(|scope| {
        let services = scope.spawn(|| Services::start(data, WITHOUT_DURABILITY));
        let built = workspace::run(&mut runner.command(&["--no-run"], &[]));
        let services = services
            .join()
            .unwrap_or_else(|_panic| bail!("the start broke off"));
        (services, built)
    });
    let environment = dev_services::environment(data, &services?);
    built?;
    if interrupt.asked()
        || !interrupt.run(
            runner
                .command(&[], &args.arguments)
                .envs(environment.clone()),
        )?
    {
        return Ok(false);
    }
    if runner.skips_doc_tests() && args.arguments.is_empty() {
        let mut doc_tests = workspace::cargo();
        doc_tests
            .args(["test", "--quiet", "--workspace", "--doc"])
            .envs(environment);
        if !interrupt.run(&mut doc_tests)? {
            return Ok(false);
        }
    }
    if args.oracle {
        oracle::run(data)
    } else {
        Ok(true)
    }
}

/// What runs the tests.
#[derive(Debug)]
enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    /// nextest, installed when it is not there; cargo's own runner when that fails.
    fn find() -> Result<Self> {
        let installed = || {
            let mut version = workspace::cargo();
            version
                .args(["nextest", "--version"])
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            version.status().is_ok_and(|status| status.success())
        };
        if installed() {
            return Ok(Self::Nextest);
        }
        println!("installing cargo-nextest");
        let mut install = workspace::cargo();
        install.args(["install", "--locked", "cargo-nextest"]);
        // A target directory of its own, which no later build asks for.
        let target = workspace::target_dir().join("install");
        let done = workspace::run(install.env("CARGO_TARGET_DIR", &target));
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        if let Err(error) = done {
            println!("{error:#}: using `cargo test` instead");
            return Ok(Self::Cargo);
        }
        Ok(Self::Nextest)
    }

    fn command(&self, options: &[&str], arguments: &[OsString]) -> Command {
        let mut command = workspace::cargo();
        match self {
            Self::Nextest => command.args(["nextest", "run", "--workspace"]),
            Self::Cargo => command.args(["test", "--workspace", "--no-fail-fast"]),
        };
        command.args(options).args(arguments);
        command
    }

    /// Whether documentation examples need a run of their own.
    fn skips_doc_tests(&self) -> bool {
        matches!(self, Self::Nextest)
    }
}
