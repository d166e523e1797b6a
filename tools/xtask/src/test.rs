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
const REQUIREMENTS: [&str; 2] = ["cloudify==7.0.5", "schemathesis==4.32.5"];
/// Random blueprints compared with the reference's parser when `--oracle` asks for it.
const ORACLE_CASES: &str = "1500";
const WITHOUT_DURABILITY: Options = Options {
    postgres: true,
    rabbitmq: true,
    durable: false,
};

/// Installs what tests and benchmarks need: services, and a Python with the client's libraries.
pub(crate) fn prepare(data: &DataDir) -> Result<()> {
    packages::ensure(&[
        packages::POSTGRESQL,
        packages::RABBITMQ,
        packages::PYTHON_VENV,
        packages::IPROUTE,
        packages::SLAPD,
        packages::OPENSSH,
    ])?;
    data.create()?;
    venv::ensure(data, &REQUIREMENTS)?;
    Ok(())
}

/// Runs the tests. The services are stopped again, unless they ran before.
pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    let passed = run_all(args, &Interrupt::install()?)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// As above, for a caller that has the signals; says whether all went well.
pub(crate) fn run_all(args: &TestArgs, interrupt: &Interrupt) -> Result<bool> {
    let data = DataDir::new(args.data.clone(), DEFAULT_DIR)?;
    prepare(&data)?;
    let runner = Runner::find()?;
    let shared = services::running(&data)?;
    if !shared {
        services::stop(&data)?;
        services::wipe(&data)?;
    }
    let result = tests(&data, &runner, args, interrupt);
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
    Ok(passed)
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
    let run = |command: &mut Command| {
        // New snapshots are for somebody to look at, not for a test run to write.
        command.envs(environment.clone()).env("INSTA_UPDATE", "no");
        interrupt.run(command)
    };
    if interrupt.asked() || !run(&mut runner.command(&[], &args.arguments))? {
        return Ok(false);
    }
    if runner.skips_doc_tests() && !chosen(&args.arguments) {
        let mut doc_tests = workspace::cargo();
        if !run(doc_tests.args(["test", "--quiet", "--workspace", "--doc"]))? {
            return Ok(false);
        }
    }
    if args.benches && workspace::root().join("benches").is_dir() {
        let mut benches = workspace::cargo();
        // As a test, each runs once and in the profile that is compiled already.
        if !run(benches.args(["test", "--quiet", "--package", "stratalog", "--bench", "*"]))? {
            return Ok(false);
        }
    }
    if args.oracle {
        let random = ["random_blueprints".into()];
        let mut random = runner.command(&["--test", "it"], &random);
        let agreed = run(random.env("STRATALOG_ORACLE_CASES", ORACLE_CASES))?;
        Ok(oracle::run(data)? && agreed)
    } else {
        Ok(true)
    }
}

/// Whether only some tests are wanted: anything but the choice of a profile chooses tests.
fn chosen(arguments: &[OsString]) -> bool {
    !(arguments.is_empty() || arguments.first().is_some_and(|first| first == "--profile"))
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
