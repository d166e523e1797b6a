//! Ctrl-C and its relatives, received by a thread instead of a handler: what was started must be
//! stopped again before we go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// Whether somebody asked us to end.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes SIGINT, SIGTERM and SIGHUP from now on; call it before the first thread starts.
    /// Children begin with an empty mask, so they see their signals as ever.
    pub(crate) fn install() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block().context("cannot block signals")?;
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        let main_thread = thread::current();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                while set.wait().is_ok() {
                    flag.store(true, Ordering::SeqCst);
                    main_thread.unpark();
                }
            })?;
        Ok(Self(asked))
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
