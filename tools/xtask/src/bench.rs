//! `cargo xtask bench`: the benchmarks, against a PostgreSQL that writes to the disk as it would
//! in production.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::dev_services;
use crate::services::{self, Options, Services};
use crate::signals::Interrupt;
use crate::test;
use crate::workspace::{self, DataDir};

const DEFAULT_DIR: &str = ".stratalog/bench";

pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let data = DataDir::new(None, DEFAULT_DIR)?;
    let interrupt = Interrupt::install()?;
    services::stop(&data)?;
    services::wipe(&data)?;
    test::prepare(&data)?;
    let services = Services::start(
        &data,
        Options {
            postgres: true,
            rabbitmq: true,
            durable: true,
        },
    )?;
    let mut command = workspace::cargo();
    command
        .args(["bench", "--package", "stratalog", "--bench", "*"])
        .args(arguments);
    let result = interrupt.run(command.envs(dev_services::environment(&data, &services)));
    services::stop(&data)?;
    Ok(if result? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
