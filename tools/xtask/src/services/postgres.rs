//! The private PostgreSQL cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::sysinfo;
use serde::{Deserialize, Serialize};

use super::{Options, new_password};
use crate::account::Account;
use crate::process::{self, Process};
use crate::workspace::{self, DataDir};

pub(super) const NAME: &str = "postgres";
const USER: &str = "stratalog";
const DATABASE: &str = "stratalog";
/// Pages of tables in memory, MiB.
const BUFFERS_MIN_MB: u64 = 64;
const BUFFERS_MAX_MB: u64 = 1_024;
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Where the cluster is and how to get in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Postgres {
    pub(super) dir: PathBuf,
    port: u16,
    password: String,
}

/// The directory of PostgreSQL's programs: of the given major version, or of the newest.
pub(crate) fn bin_dir(major: Option<u32>) -> Option<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|version| major.is_none_or(|major| major == *version))
        .collect();
    versions.sort_unstable();
    let debian = versions
        .into_iter()
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin/postgres")));
    let program = process::first_file(debian).or_else(|| process::on_path("postgres"))?;
    program.parent().map(Path::to_path_buf)
}

impl Postgres {
    pub(super) fn start(
        data: &DataDir,
        dir: &Path,
        before: Option<Self>,
        account: &Account,
        options: Options,
    ) -> Result<Option<Self>> {
        if !options.postgres {
            return Ok(None);
        }
        let cluster = dir.join("data");
        let before =
            before.filter(|before| before.dir == dir && cluster.join("PG_VERSION").exists());
        if before.is_some() && Process::find(data, NAME)?.is_some() {
            return Ok(before);
        }
        let [port] = process::free_ports([before.as_ref().map_or(0, |before| before.port)])?;
        let password = match &before {
            Some(before) => before.password.clone(),
            None => new_password()?,
        };
        let postgres = Self {
            dir: dir.to_path_buf(),
            port,
            password,
        };
        let fresh = before.is_none();
        let bin = postgres.programs()?;
        if fresh {
            postgres.init(&bin, account, options)?;
        }
        fs::write(
            dir.join("stratalog.conf"),
            postgres.config(options.durable)?,
        )?;
        let mut command = account.command(bin.join("postgres"));
        let process = Process::start(data, NAME, command.arg("-D").arg(&cluster))?;
        process.wait_until(START_TIMEOUT, || is_ready(&cluster, process.pid))?;
        if fresh {
            postgres.create_database(&bin)?;
        }
        Ok(Some(postgres))
    }

    fn programs(&self) -> Result<PathBuf> {
        let version = fs::read_to_string(self.dir.join("data/PG_VERSION")).ok();
        let major = version.and_then(|version| version.trim().parse().ok());
        bin_dir(major).with_context(|| match major {
            Some(major) => format!(
                "{} was made by PostgreSQL {major}, which is not installed",
                self.dir.display()
            ),
            None => "PostgreSQL is not installed".to_owned(),
        })
    }

    /// Makes the cluster. Passwords go over the loopback interface only; the cheaper kind spares
    /// tests, which connect all the time, the thousands of hashes of the better one.
    fn init(&self, bin: &Path, account: &Account, options: Options) -> Result<()> {
        if self.dir.exists() {
            // Left by a start that broke off, or by a lost state file: nobody knows its password.
            fs::remove_dir_all(&self.dir)
                .with_context(|| format!("cannot remove {}", self.dir.display()))?;
        }
        account.create_dir(&self.dir)?;
        let password_file = self.dir.join("password");
        workspace::write_private(&password_file, &self.password)?;
        account.own(&password_file)?;
        let auth = if options.durable {
            "scram-sha-256"
        } else {
            "md5"
        };
        let mut initdb = account.command(bin.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(self.dir.join("data"))
            .arg("--pwfile")
            .arg(&password_file)
            .args(["--username", USER, "--auth", auth, "--encoding", "UTF8"])
            .args(["--locale", "C.UTF-8", "--no-sync", "--no-instructions"]);
        workspace::run_quietly(&mut initdb)?;
        fs::remove_file(&password_file)?;
        let conf = self.dir.join("data/postgresql.conf");
        let mut text = fs::read_to_string(&conf)?;
        text.push_str("\ninclude '../stratalog.conf'\n");
        fs::write(&conf, text).with_context(|| format!("cannot write {}", conf.display()))
    }

    fn config(&self, durable: bool) -> Result<String> {
        let port = self.port;
        // tests drop thousands of small databases, each of which takes a look at all pages kept
        let buffers_mb = match durable {
            true => kept_mb(sysinfo::sysinfo()?.ram_total()),
            false => BUFFERS_MIN_MB,
        };
        let mut text = format!(
            "# Written at every start.\n\
             listen_addresses = '127.0.0.1'\n\
             port = {port}\n\
             unix_socket_directories = ''\n\
             max_connections = 100\n\
             shared_buffers = {buffers_mb}MB\n\
             wal_level = replica\n\
             max_wal_size = 1GB\n\
             default_toast_compression = lz4\n\
             jit = off\n\
             logging_collector = off\n\
             timezone = 'UTC'\n\
             log_timezone = 'UTC'\n"
        );
        if !durable {
            text.push_str(
                "fsync = off\n\
                 full_page_writes = off\n\
                 checkpoint_timeout = 1h\n\
                 autovacuum_naptime = 5min\n",
            );
        }
        Ok(text)
    }

    fn create_database(&self, bin: &Path) -> Result<()> {
        let mut createdb = Command::new(bin.join("createdb"));
        createdb
            .args(["--host", "127.0.0.1", "--username", USER])
            .args(["--port", &self.port.to_string()])
            .arg(DATABASE)
            .env("PGPASSWORD", &self.password);
        workspace::run_quietly(&mut createdb).map(drop)
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}")
    }
}

/// Pages of tables that are kept in memory, MiB: an eighth of the machine, which runs everything
/// else, too.
fn kept_mb(ram_bytes: u64) -> u64 {
    let eighth = ram_bytes / 8 / 1_024 / 1_024;
    eighth.clamp(BUFFERS_MIN_MB, BUFFERS_MAX_MB)
}

/// The postmaster writes its number and its state into a file of its own, which outlives a crash.
fn is_ready(cluster: &Path, pid: i32) -> bool {
    let Ok(text) = fs::read_to_string(cluster.join("postmaster.pid")) else {
        return false;
    };
    let line = |number: usize| text.lines().nth(number).map(str::trim);
    line(0) == Some(&pid.to_string()) && line(7) == Some("ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_take_an_eighth_of_the_memory() {
        const GIB: u64 = 1_024 * 1_024 * 1_024;
        assert_eq!(kept_mb(GIB / 4), BUFFERS_MIN_MB);
        assert_eq!(kept_mb(4 * GIB), 512);
        assert_eq!(kept_mb(64 * GIB), BUFFERS_MAX_MB);
    }
}
