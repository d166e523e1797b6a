//! Ctrl-C and its relatives, received by a thread instead of a handler: what was started must be
//! stopped again before we go.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Whether somebody asked us to end: the number of the signal, or zero.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicI32>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on. They are not blocked: children inherit that,
    /// and would never see a request to end.
    pub(crate) fn install() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot take signals")?;
        let received = Arc::new(AtomicI32::new(0));
        let flag = Arc::clone(&received);
        let main_thread = thread::current();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    flag.store(signal, Ordering::SeqCst);
                    main_thread.unpark();
                }
            })?;
        Ok(Self(received))
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// Waits until somebody asks us to end or `done` says so.
    pub(crate) fn wait_or(&self, mut done: impl FnMut() -> bool) {
        while !self.asked() && !done() {
            thread::park_timeout(LOOK_INTERVAL);
        }
    }

    /// Runs a command to its end; says whether it went well and nobody broke it off.
    pub(crate) fn run(&self, command: &mut Command) -> Result<bool> {
        let program = command.get_program().to_owned();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {program:?}"))?;
        self.wait_or(|| matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
        let received = self.0.load(Ordering::SeqCst);
        // Ctrl-C went to the whole group of the terminal; anything else came to us alone.
        if received != 0 && received != SIGINT && child.try_wait()?.is_none() {
            signal::kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        }
        Ok(child.wait()?.success() && !self.asked())
    }
}
