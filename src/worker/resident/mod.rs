//! Interpreters that stay: one for each environment has the library loaded, and starts operations
//! by forking, so that none of them waits for the library. What an operation does stays in its own
//! process, as if it had been started anew.
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex as AsyncMutex, oneshot},
};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::process::Process;

/// The program that they run.
const PROGRAM: &str = include_str!("serve.py");

/// What is to be started.
#[derive(Debug, Serialize)]
pub(super) struct Start<'a> {
    /// Where input and output of the operation are.
    pub(super) directory: &'a Path,
    /// Where its output is appended to.
    pub(super) log: &'a Path,
    /// All of its environment.
    pub(super) environment: HashMap<String, String>,
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    #[serde(flatten)]
    start: &'a Start<'a>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    id: u64,
    pid: Option<i32>,
    code: Option<i32>,
}

/// Who waits for the process and for its end.
#[derive(Debug)]
struct Waiting {
    pid: Option<oneshot::Sender<i32>>,
    code: oneshot::Sender<i32>,
}

type Table = Arc<Mutex<HashMap<u64, Waiting>>>;

/// One of them.
#[derive(Debug)]
pub(super) struct Resident {
    requests: AsyncMutex<ChildStdin>,
    waiting: Table,
    next: AtomicU64,
}

type ByPython = HashMap<PathBuf, Arc<Resident>>;

/// All of a worker.
#[derive(Debug)]
pub(super) struct Residents {
    /// Nothing: there are to be none.
    by_python: Arc<Mutex<Option<ByPython>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Residents {
    /// With none yet, or none ever.
    pub(super) fn new(is_wanted: bool) -> Self {
        let by_python = is_wanted.then(HashMap::new);
        Self {
            by_python: Arc::new(Mutex::new(by_python)),
        }
    }

    /// No more from now on; those that are there end with what they have started.
    pub(super) fn close(&self) {
        *locked(&self.by_python) = None;
    }

    /// Starts an operation's process. `command` is for the first one of an interpreter: its
    /// environment.
    ///
    /// # Errors
    /// When there is no such interpreter: the operation was not begun then.
    pub(super) async fn start(
        &self,
        tasks: &TaskTracker,
        (python, command): (&Path, Command),
        start: &Start<'_>,
    ) -> io::Result<Process> {
        let resident = self.of(tasks, python, command)?;
        let outcome = resident.start(start).await;
        if outcome.is_err() {
            self.forget(python);
        }
        outcome
    }

    /// The interpreter's files are about to go. What it has started goes on.
    pub(super) fn forget(&self, python: &Path) {
        if let Some(by_python) = &mut *locked(&self.by_python) {
            by_python.remove(python);
        }
    }

    fn of(
        &self,
        tasks: &TaskTracker,
        python: &Path,
        command: Command,
    ) -> io::Result<Arc<Resident>> {
        let mut by_python = locked(&self.by_python);
        let Some(by_python) = &mut *by_python else {
            return Err(io::Error::other("no interpreter stays"));
        };
        if let Some(resident) = by_python.get(python) {
            return Ok(resident.clone());
        }
        let (resident, child, replies) = Resident::spawn(command)?;
        by_python.insert(python.to_owned(), resident.clone());
        let (all, python) = (Arc::downgrade(&self.by_python), python.to_owned());
        let (waiting, ended) = (resident.waiting.clone(), Arc::downgrade(&resident));
        tasks.spawn(async move {
            listen(replies, &waiting).await;
            // nobody answers those who wait any more
            locked(&waiting).clear();
            if let Some(all) = all.upgrade()
                && let Some(all) = &mut *locked(&all)
                && all
                    .get(&python)
                    .is_some_and(|known| Arc::as_ptr(known) == ended.as_ptr())
            {
                all.remove(&python);
            }
            reap(child).await;
        });
        Ok(resident)
    }
}

async fn listen(
    mut replies: Lines<BufReader<ChildStdout>>,
    waiting: &Mutex<HashMap<u64, Waiting>>,
) {
    loop {
        let line = match replies.next_line().await {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return warn!(%error, "an interpreter cannot be heard any more"),
        };
        let reply: Reply = match serde_json::from_str(&line) {
            Ok(reply) => reply,
            Err(error) => return warn!(%error, "an interpreter says what it should not"),
        };
        let mut waiting = locked(waiting);
        if let Some(code) = reply.code {
            // whoever asked may be gone
            let found = waiting.remove(&reply.id);
            found.map(|waiting| waiting.code.send(code));
        } else if let (Some(pid), Some(waiting)) = (reply.pid, waiting.get_mut(&reply.id)) {
            waiting.pid.take().map(|sender| sender.send(pid));
        }
    }
}

async fn reap(mut child: Child) {
    match child.wait().await {
        Ok(status) => debug!(%status, "an interpreter has ended"),
        Err(error) => warn!(%error, "an interpreter cannot be waited for"),
    }
}

impl Resident {
    fn spawn(
        mut command: Command,
    ) -> io::Result<(Arc<Self>, Child, Lines<BufReader<ChildStdout>>)> {
        let mut child = command
            .args(["-u", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the new process has no pipes"));
        };
        let resident = Self {
            requests: AsyncMutex::new(stdin),
            waiting: Table::default(),
            next: AtomicU64::new(1),
        };
        Ok((Arc::new(resident), child, BufReader::new(stdout).lines()))
    }

    async fn start(self: &Arc<Self>, start: &Start<'_>) -> io::Result<Process> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (pid, born) = oneshot::channel();
        let (code, ended) = oneshot::channel();
        let waiting = Waiting {
            pid: Some(pid),
            code,
        };
        locked(&self.waiting).insert(id, waiting);
        let mut line = serde_json::to_vec(&Request { id, start })?;
        line.push(b'\n');
        // one line at a time, and all of it
        let mut requests = self.requests.lock().await;
        let written = requests.write_all(&line).await;
        drop(requests);
        if let Err(error) = written {
            locked(&self.waiting).remove(&id);
            return Err(error);
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the interpreter has ended");
        Ok(Process::forked(
            born.await.map_err(gone)?,
            ended,
            self.clone(),
        ))
    }
}
