//! A private PostgreSQL cluster and a private RabbitMQ node: own directories, ports, passwords
//! and accounts. No service of the system is used or touched.

mod certificates;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;

use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::account::{self, Account};
use crate::packages;
use crate::process::{self, Process, Stop};
use crate::workspace::{self, DataDir};

pub(crate) use postgres::Postgres;
pub(crate) use rabbitmq::RabbitMq;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) postgres: bool,
    pub(crate) rabbitmq: bool,
    /// Survive a crash of the machine. Without, tests run faster.
    pub(crate) durable: bool,
}

/// What was configured, kept in `services.json` for the next start: ports and passwords stay.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Services {
    pub(crate) postgres: Option<Postgres>,
    pub(crate) rabbitmq: Option<RabbitMq>,
}

const STATE: &str = "services.json";
/// In the order in which they are stopped.
const PROCESSES: [(&str, Stop); 3] = [
    (postgres::NAME, Stop::Interrupt),
    (rabbitmq::NAME, Stop::Terminate),
    (rabbitmq::EPMD, Stop::Kill),
];

impl Services {
    /// What the last start left behind, running or not.
    pub(crate) fn load(data: &DataDir) -> Result<Self> {
        let path = data.join(STATE);
        let Ok(text) = fs::read(&path) else {
            return Ok(Self::default());
        };
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Starts what is wanted and does not run yet, both at the same time.
    pub(crate) fn start(data: &DataDir, options: Options) -> Result<Self> {
        let mut needed = Vec::new();
        if options.postgres {
            needed.push(packages::POSTGRESQL);
        }
        if options.rabbitmq {
            needed.push(packages::RABBITMQ);
        }
        packages::ensure(&needed)?;
        data.create()?;
        let before = Self::load(data)?;
        let postgres_account = account_if(options.postgres, "postgres")?;
        let rabbitmq_account = account_if(options.rabbitmq, "rabbitmq")?;
        let home = account::service_home(data, &[&postgres_account, &rabbitmq_account])?;
        if !home.starts_with(data.path()) {
            println!(
                "the databases' own accounts cannot enter {}: their files are in {}",
                data.path().display(),
                home.display()
            );
        }
        let (postgres, rabbitmq) = thread::scope(|scope| {
            let postgres = scope.spawn(|| {
                let dir = home.join(postgres::NAME);
                let before = before.postgres.clone();
                Postgres::start(data, &dir, before, &postgres_account, options)
            });
            let rabbitmq = scope.spawn(|| {
                let dir = home.join(rabbitmq::NAME);
                let before = before.rabbitmq.clone();
                RabbitMq::start(data, &dir, before, &rabbitmq_account, options)
            });
            (joined(postgres.join()), joined(rabbitmq.join()))
        });
        // One that failed must not leave the other behind.
        match (postgres, rabbitmq) {
            (Ok(postgres), Ok(rabbitmq)) => {
                let services = Self { postgres, rabbitmq };
                let text = serde_json::to_string_pretty(&services)?;
                workspace::write_private(&data.join(STATE), &text)?;
                Ok(services)
            }
            (postgres, rabbitmq) => {
                stop(data)?;
                postgres?;
                rabbitmq?;
                Err(anyhow!("the services did not start"))
            }
        }
    }
}

fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|_panic| Err(anyhow!("a service's start broke off")))
}

fn account_if(wanted: bool, name: &str) -> Result<Account> {
    if wanted {
        Account::for_service(name)
    } else {
        Ok(Account::Caller)
    }
}

pub(crate) fn running(data: &DataDir) -> Result<bool> {
    process::any_running(data, &[postgres::NAME, rabbitmq::NAME])
}

/// Stops what runs, both at the same time. Returns the names of what was stopped.
pub(crate) fn stop(data: &DataDir) -> Result<Vec<&'static str>> {
    let mut stopped = Vec::new();
    let results: Vec<Result<Option<&'static str>>> = thread::scope(|scope| {
        let handles: Vec<_> = PROCESSES
            .iter()
            .filter(|(name, _)| *name != rabbitmq::EPMD)
            .map(|(name, how)| scope.spawn(|| stop_one(data, name, *how)))
            .collect();
        handles
            .into_iter()
            .map(|handle| joined(handle.join()))
            .collect()
    });
    for result in results {
        stopped.extend(result?);
    }
    // RabbitMQ wants its port mapper until its very end.
    stopped.extend(stop_one(data, rabbitmq::EPMD, Stop::Kill)?);
    Ok(stopped)
}

fn stop_one(data: &DataDir, name: &'static str, how: Stop) -> Result<Option<&'static str>> {
    let Some(process) = Process::find(data, name)? else {
        return Ok(None);
    };
    process.stop(how)?;
    Ok(Some(name))
}

/// Throws away what the services of `data` keep; they must be stopped.
pub(crate) fn wipe(data: &DataDir) -> Result<()> {
    let state = Services::load(data)?;
    let dirs = state.postgres.map(|postgres| postgres.dir).into_iter();
    for dir in dirs.chain(state.rabbitmq.map(|rabbitmq| rabbitmq.dir)) {
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    if data.join(STATE).exists() {
        fs::remove_file(data.join(STATE))?;
    }
    Ok(())
}

/// A password nobody can guess.
fn new_password() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let mut random = fs::File::open("/dev/urandom")?;
    std::io::Read::read_exact(&mut random, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
