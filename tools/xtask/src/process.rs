//! Processes that outlive the command that started them: each leads a group of its own, is
//! remembered in a file, and is stopped with everything it started.

mod table;

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::workspace::DataDir;

/// How long a process may take to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);
/// Ports tried before any will do.
const PORTS_TRIED: u16 = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// A process started by us, now or by an earlier command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// Tells it from a later process with the same number.
    started_ticks: u64,
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    log: PathBuf,
}

/// How a process is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// `SIGINT` to the leader: PostgreSQL's "fast" shutdown.
    Interrupt,
    Terminate,
    /// Nothing it holds is worth keeping.
    Kill,
}

impl Process {
    /// Starts `command` detached from the terminal; its output goes to `log/NAME.log`.
    pub(crate) fn start(data: &DataDir, name: &str, command: &mut Command) -> Result<Self> {
        let file = data.run().join(format!("{name}.json"));
        let log = data.log().join(format!("{name}.log"));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("a process number out of range")?;
        let started_ticks = table::read(pid).map_or(0, |entry| entry.started_ticks);
        let process = Self {
            name: name.to_owned(),
            pid,
            started_ticks,
            file,
            log,
        };
        fs::write(&process.file, serde_json::to_vec(&process)?)?;
        Ok(process)
    }

    /// The process remembered under `name`, if it still runs.
    pub(crate) fn find(data: &DataDir, name: &str) -> Result<Option<Self>> {
        let file = data.run().join(format!("{name}.json"));
        let Ok(text) = fs::read(&file) else {
            return Ok(None);
        };
        let mut process: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not ours", file.display()))?;
        process.file = file;
        process.log = data.log().join(format!("{name}.log"));
        if process.runs() {
            return Ok(Some(process));
        }
        process.forget()?;
        Ok(None)
    }

    pub(crate) fn runs(&self) -> bool {
        table::reap(self.pid);
        table::read(self.pid).is_some_and(|entry| self.is(&entry))
    }

    fn is(&self, entry: &table::Entry) -> bool {
        entry.started_ticks == self.started_ticks && !entry.dead
    }

    /// Waits until `ready` says so; fails with the end of the log when the process ends first.
    pub(crate) fn wait_until(
        &self,
        timeout: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<()> {
        let begin = Instant::now();
        while !ready() {
            if !self.runs() {
                bail!("{} ended at its start\n{}", self.name, self.log_tail());
            }
            if begin.elapsed() > timeout {
                bail!(
                    "{} is not ready after {timeout:?}\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(20)..)
            .unwrap_or_default()
            .join("\n");
        format!("--- the end of {}\n{tail}", self.log.display())
    }

    /// Ends the process and all it started, kindly first; returns when none of them is left.
    pub(crate) fn stop(&self, how: Stop) -> Result<()> {
        let family = table::family(self.pid);
        match how {
            Stop::Interrupt => self.signal(Signal::SIGINT),
            Stop::Terminate => self.signal(Signal::SIGTERM),
            Stop::Kill => {}
        }
        if how != Stop::Kill {
            self.wait_gone(&family, STOP_TIMEOUT);
        }
        for entry in self.left(&family) {
            // It may have gone by itself since we looked.
            let _gone = signal::kill(Pid::from_raw(entry.pid), Signal::SIGKILL);
        }
        self.wait_gone(&family, Duration::from_secs(5));
        let left = self.left(&family);
        if !left.is_empty() {
            let pids: Vec<i32> = left.iter().map(|entry| entry.pid).collect();
            bail!(
                "{} left processes that cannot be ended: {pids:?}",
                self.name
            );
        }
        self.forget()
    }

    fn signal(&self, signal: Signal) {
        if self.runs() {
            // It may have gone by itself since we looked.
            let _gone = signal::kill(Pid::from_raw(self.pid), signal);
        }
    }

    fn wait_gone(&self, family: &[table::Entry], timeout: Duration) {
        let begin = Instant::now();
        while !self.left(family).is_empty() && begin.elapsed() < timeout {
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Who is left of the family as it was, and of the group as it is.
    fn left(&self, family: &[table::Entry]) -> Vec<table::Entry> {
        table::reap(self.pid);
        table::all()
            .into_iter()
            .filter(|entry| !entry.dead)
            .filter(|entry| entry.group == self.pid || family.iter().any(|was| was.same(entry)))
            .collect()
    }

    fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether `path` names a directory some process of `data` may still be writing to.
pub(crate) fn any_running(data: &DataDir, names: &[&str]) -> Result<bool> {
    for name in names {
        if Process::find(data, name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Free TCP ports of this machine; those of `wanted` (zero: any) that are free stay as they are.
pub(crate) fn free_ports<const N: usize>(wanted: [u16; N]) -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for (port, wish) in ports.iter_mut().zip(wanted) {
        let listener = listen(wish).context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A new port lies below those that the kernel lends to outgoing connections: else one of these may
/// hold it when its service comes back after a crash.
fn listen(wish: u16) -> std::io::Result<TcpListener> {
    let random = |n: u16| {
        let offset = RandomState::new().hash_one(n) % 20_000;
        12_000 + u16::try_from(offset).unwrap_or_default()
    };
    let kept = Some(wish).filter(|wish| *wish != 0);
    let mut wishes = kept.into_iter().chain((0..PORTS_TRIED).map(random));
    wishes
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
        .map_or_else(|| TcpListener::bind(("127.0.0.1", 0)), Ok)
}

/// The first of `paths` that is a file.
pub(crate) fn first_file(paths: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    paths.into_iter().find(|path| path.is_file())
}

/// Where `program` is on the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    first_file(std::env::split_paths(&path).map(|dir| Path::new(&dir).join(program)))
}
