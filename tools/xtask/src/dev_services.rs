//! `cargo xtask services`: the environment of the tests, kept running for single ones.

use anyhow::{Result, bail};

use crate::cli::{ServicesAction, ServicesArgs};
use crate::services::{self, Options, Services};
use crate::workspace::DataDir;
use crate::{test, venv};

/// Where the tests' services live, below the root of the checkout.
pub(crate) const DEFAULT_DIR: &str = ".stratalog/test";

pub(crate) fn run(args: ServicesArgs) -> Result<()> {
    let data = DataDir::new(args.data, DEFAULT_DIR)?;
    match args.action {
        ServicesAction::Start { fresh, durable } => {
            if fresh {
                services::stop(&data)?;
                services::wipe(&data)?;
            }
            test::prepare(&data)?;
            let services = Services::start(
                &data,
                Options {
                    postgres: true,
                    rabbitmq: true,
                    durable,
                },
            )?;
            print_exports(&data, &services)
        }
        ServicesAction::Stop => {
            let stopped = services::stop(&data)?;
            println!(
                "stopped: {}",
                if stopped.is_empty() {
                    "nothing ran".into()
                } else {
                    stopped.join(", ")
                }
            );
            Ok(())
        }
        ServicesAction::Env => {
            if !services::running(&data)? {
                bail!("the services do not run: cargo xtask services start");
            }
            print_exports(&data, &Services::load(&data)?)
        }
    }
}

fn print_exports(data: &DataDir, services: &Services) -> Result<()> {
    for (name, value) in environment(data, services) {
        println!("export {name}='{value}'");
    }
    Ok(())
}

/// What integration tests read.
pub(crate) fn environment(data: &DataDir, services: &Services) -> Vec<(&'static str, String)> {
    let mut variables = Vec::new();
    if let Some(postgres) = &services.postgres {
        variables.push(("STRATALOG_TEST_DATABASE_URL", postgres.url()));
    }
    if let Some(rabbitmq) = &services.rabbitmq {
        variables.push(("STRATALOG_TEST_AMQP_URL", rabbitmq.url()));
        variables.push((
            "STRATALOG_TEST_AMQP_MANAGEMENT_URL",
            rabbitmq.management_url(),
        ));
        if let Some((url, authority)) = rabbitmq.tls(data) {
            variables.push(("STRATALOG_TEST_AMQPS_URL", url));
            let authority = authority.display().to_string();
            variables.push(("STRATALOG_TEST_AMQP_CA_FILE", authority));
        }
    }
    let venv = venv::dir(data);
    for (name, program) in [
        ("STRATALOG_TEST_PYTHON", "python"),
        ("STRATALOG_TEST_CFY", "cfy"),
    ] {
        let program = venv.join("bin").join(program);
        if program.exists() {
            variables.push((name, program.display().to_string()));
        }
    }
    variables
}
