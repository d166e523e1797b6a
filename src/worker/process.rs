//! Child processes: a group of their own, ended as a group, and never waited for through a pipe
//! that somebody else may hold open.
use std::{
    io,
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::{log::Logger, resident::Resident};

/// Between asking a process to end and making it.
const TERMINATE_GRACE: Duration = Duration::from_secs(5);
/// How long output may still come after the process has ended; something it left behind may hold
/// the pipe.
const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// A longer line is logged in pieces.
const LINE_SIZE_MAX: usize = 64 << 10;
/// The end of the output, kept for the message of a failure.
const KEPT_SIZE_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The exit code, or the negative number of the signal that ended it.
    Exited(i32),
    TimedOut,
    Killed,
}

/// A started process, the leader of its group.
#[derive(Debug)]
pub(super) struct Process {
    leader: Leader,
    pid: i32,
}

#[derive(Debug)]
enum Leader {
    /// A child of ours.
    Own(Box<Child>),
    /// A child of an interpreter, which tells its exit code, and stays as long as the child.
    Forked {
        code: oneshot::Receiver<i32>,
        _interpreter: Arc<Resident>,
    },
}

impl Process {
    pub(super) fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or_else(|| io::Error::other("the new process has no id"))?;
        Ok(Self {
            leader: Leader::Own(Box::new(child)),
            pid,
        })
    }

    /// A process that an interpreter has started, and will tell the end of.
    pub(super) fn forked(
        pid: i32,
        code: oneshot::Receiver<i32>,
        interpreter: Arc<Resident>,
    ) -> Self {
        Self {
            leader: Leader::Forked {
                code,
                _interpreter: interpreter,
            },
            pid,
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The ends of its output that we hold.
    pub(super) fn output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        match &mut self.leader {
            Leader::Own(child) => (child.stdout.take(), child.stderr.take()),
            Leader::Forked { .. } => (None, None),
        }
    }

    /// Waits for the end; on timeout or kill the whole group is ended first.
    pub(super) async fn wait(
        &mut self,
        timeout: Option<Duration>,
        kill: &CancellationToken,
    ) -> io::Result<End> {
        let timed_out = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            code = self.ended() => return Ok(End::Exited(code?)),
            () = timed_out => End::TimedOut,
            () = kill.cancelled() => End::Killed,
        };
        self.terminate().await?;
        Ok(end)
    }

    /// The exit code, or the negative number of the signal that ended it.
    async fn ended(&mut self) -> io::Result<i32> {
        match &mut self.leader {
            Leader::Own(child) => Ok(code(child.wait().await?)),
            Leader::Forked { code, .. } => {
                let told = code.await;
                if told.is_err() {
                    // nobody will tell any more, so that it has to be over
                    self.signal(Signal::SIGKILL);
                }
                Ok(told.unwrap_or(-(Signal::SIGKILL as i32)))
            }
        }
    }

    async fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(TERMINATE_GRACE, self.ended()).await;
        // Also when the leader has ended: its children may have ignored the first signal.
        self.signal(Signal::SIGKILL);
        if ended.is_err() {
            self.ended().await?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = killpg(Pid::from_raw(self.pid), signal) {
            debug!(pid = self.pid, %signal, %error, "the process group is gone already");
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// Reads one stream of a process, line by line.
#[derive(Debug)]
pub(super) struct Output {
    kept: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl Output {
    /// Without a prefix the lines are kept, but not logged.
    pub(super) fn read(
        tasks: &TaskTracker,
        stream: impl AsyncRead + Send + Unpin + 'static,
        logger: Logger,
        prefix: Option<&'static str>,
    ) -> Self {
        let kept = Arc::new(Mutex::new(String::new()));
        let reader = Reader {
            kept: kept.clone(),
            logger,
            prefix,
        };
        Self {
            kept,
            reading: tasks.spawn(reader.run(stream)),
        }
    }

    /// What was written, as far as it is kept. To be called after the process has ended.
    pub(super) async fn finish(mut self) -> String {
        if tokio::time::timeout(DRAIN_GRACE, &mut self.reading)
            .await
            .is_err()
        {
            self.reading.abort();
            // The logger it holds must be gone before the log can be closed.
            let _ = self.reading.await;
        }
        std::mem::take(
            &mut *self
                .kept
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

struct Reader {
    kept: Arc<Mutex<String>>,
    logger: Logger,
    prefix: Option<&'static str>,
}

impl Reader {
    async fn run(self, mut stream: impl AsyncRead + Unpin) {
        let mut pending = Vec::new();
        loop {
            match stream.read_buf(&mut pending).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    debug!(%error, "a script's output cannot be read any more");
                    break;
                }
            }
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.line(&line).await;
            }
            if pending.len() >= LINE_SIZE_MAX {
                self.line(&std::mem::take(&mut pending)).await;
            }
        }
        if !pending.is_empty() {
            self.line(&pending).await;
        }
    }

    async fn line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.keep(&text);
        if let Some(prefix) = self.prefix {
            self.logger
                .info(format!("{prefix}{}", text.trim_end_matches(['\r', '\n'])))
                .await;
        }
    }

    fn keep(&self, text: &str) {
        let mut kept = self
            .kept
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        kept.push_str(text);
        if kept.len() > 2 * KEPT_SIZE_MAX {
            let mut cut = kept.len() - KEPT_SIZE_MAX;
            while !kept.is_char_boundary(cut) {
                cut += 1;
            }
            kept.drain(..cut);
        }
    }
}
