//! PostgreSQL, RabbitMQ and the server as processes of one test's own, to be killed without
//! warning.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::env;

pub(crate) const PASSWORD: &str = "admin";
const PAUSE: Duration = Duration::from_millis(50);
/// How long a service may take to come back.
const PATIENCE: Duration = Duration::from_secs(90);

/// A service that can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Postgres,
    RabbitMq,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

/// Private services; they end with this.
#[derive(Debug)]
pub(crate) struct Services {
    data: tempfile::TempDir,
    variables: HashMap<String, String>,
}

impl Services {
    pub(crate) fn start() -> Self {
        // under root they have accounts of their own, which must be able to enter
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        let mut builder = tempfile::Builder::new();
        let data = builder
            .prefix("stratalog-chaos-")
            .permissions(open)
            .tempdir();
        let mut services = Self {
            data: data.unwrap(),
            variables: HashMap::new(),
        };
        services.again().unwrap();
        services
    }

    pub(crate) fn database_url(&self) -> &str {
        &self.variables["STRATALOG_TEST_DATABASE_URL"]
    }

    fn amqp_url(&self) -> &str {
        &self.variables["STRATALOG_TEST_AMQP_URL"]
    }

    fn xtask(&self, arguments: &[&str]) -> Result<String, String> {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_stratalogd")).with_file_name("xtask");
        let output = Command::new(&program)
            .args(arguments)
            .arg("--data")
            .arg(self.data.path())
            .output()
            .unwrap_or_else(|error| panic!("{} (made by cargo xtask): {error}", program.display()));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts what does not run.
    fn again(&mut self) -> Result<(), String> {
        // what a killed process has written, the system still has: nothing need be flushed
        let printed = self.xtask(&["services", "start"])?;
        let exports = printed.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        });
        self.variables = exports.collect();
        Ok(())
    }

    /// Kills one with everything it started, and starts it again.
    pub(crate) fn crash(&mut self, service: Service) {
        let path = self
            .data
            .path()
            .join(format!("run/{}.json", service.name()));
        let remembered: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let pid = i32::try_from(remembered["pid"].as_i64().unwrap()).unwrap();
        let family = family(pid);
        for pid in &family {
            // one may have gone with its parent
            let _gone = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let began = Instant::now();
        while family.iter().any(|pid| runs(*pid)) {
            assert!(began.elapsed() < PATIENCE, "{service:?} cannot be killed");
            std::thread::sleep(PAUSE);
        }
        let before = self.variables.clone();
        // PostgreSQL refuses until the kernel has let go of what the killed one held
        while let Err(error) = self.again() {
            assert!(began.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(PAUSE);
        }
        assert_eq!(self.variables, before, "it came back somewhere else");
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        if let Err(error) = self.xtask(&["services", "stop"]) {
            eprintln!("services are left: {error}");
        }
        if std::thread::panicking() {
            self.data.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.data.path().display());
        }
    }
}

fn stat(pid: i32) -> Option<(i32, bool)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(") ")?.1.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    Some((fields.next()?.parse().ok()?, is_dead))
}

fn runs(pid: i32) -> bool {
    stat(pid).is_some_and(|(_, is_dead)| !is_dead)
}

/// A process and what it started, at any depth.
fn family(pid: i32) -> Vec<i32> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<i32>().ok()
    });
    let parents: Vec<(i32, i32)> = numbers
        .filter_map(|number| Some((number, stat(number)?.0)))
        .collect();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(number, _)| *number));
        next += 1;
    }
    family
}

/// Several `stratalogd serve` on ports of their own over one directory: one that only answers,
/// and those that run executions.
#[derive(Debug)]
pub(crate) struct Daemons {
    pub(crate) server: Daemon,
    pub(crate) workers: Vec<Daemon>,
    pub(crate) directory: tempfile::TempDir,
}

impl Daemons {
    pub(crate) fn start(services: &Services, workers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Daemon::start(services, (directory.path(), "server"), false);
        let worker =
            |nth| Daemon::start(services, (directory.path(), &format!("worker{nth}")), true);
        Self {
            workers: (0..workers).map(worker).collect(),
            server,
            directory,
        }
    }

    /// What they wrote to their logs.
    pub(crate) fn logs(&self) -> String {
        let all = std::iter::once(&self.server).chain(&self.workers);
        let logs = all.map(|daemon| fs::read_to_string(&daemon.log).unwrap());
        logs.collect()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.directory.path().display());
        }
    }
}

/// `stratalogd serve` on ports of its own.
#[derive(Debug)]
pub(crate) struct Daemon {
    command: Command,
    child: Child,
    url: String,
    log: PathBuf,
}

impl Daemon {
    fn start(services: &Services, (directory, name): (&Path, &str), is_worker: bool) -> Self {
        let [rest, internal] = free_ports();
        let path = directory.join(format!("{name}.log"));
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stratalogd"));
        command
            .arg("serve")
            .env("STRATALOG_DATABASE_URL", services.database_url())
            .env("STRATALOG_AMQP_URL", services.amqp_url())
            .env("STRATALOG_DATA_DIR", directory.join("data"))
            .env("STRATALOG_RUN_EXECUTIONS", is_worker.to_string())
            .env("STRATALOG_REST_LISTEN", format!("127.0.0.1:{rest}"))
            .env("STRATALOG_INTERNAL_LISTEN", format!("127.0.0.1:{internal}"))
            .env("STRATALOG_ADMIN_PASSWORD", PASSWORD)
            .env("STRATALOG_PYTHON", env::python())
            .env("STRATALOG_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self {
            child: command.spawn().unwrap(),
            command,
            url: format!("http://127.0.0.1:{rest}"),
            log: path,
        }
    }

    /// The beginning of its addresses.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Kills it, and starts it again.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = self.command.spawn().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // it may have ended by itself
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Free ports below those that the kernel lends to outgoing connections: else one of these may hold
/// them when the server comes back.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listener = |()| loop {
        let port = rand::random_range(12_000..32_000);
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            break listener;
        }
    };
    let listeners = [(); N].map(listener);
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
