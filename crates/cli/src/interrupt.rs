//! Ctrl-C, and the requests to end, or to read files again, that a service manager sends.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Set once a service manager asked. Signals are the process's, and so is this.
static TERMINATED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The command ended early because it was asked to; what it did until then is in order.
#[derive(Debug)]
pub struct Interrupted {
    /// Frames left in the ring.
    pub left: u64,
}

impl Interrupted {
    /// What the program exits with: after Ctrl-C 130, as a shell expects, and 0 after SIGTERM: a service that ends in
    /// good order when it is asked to has not failed.
    pub fn exit_status(&self) -> u8 {
        match TERMINATED.load(Ordering::Relaxed) {
            true => 0,
            false => killed_by(SIGINT) as u8,
        }
    }
}

/// The status of a program that a signal ended.
const fn killed_by(signal: i32) -> i32 {
    128 + signal
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted, with {} frames left in the ring", self.left)
    }
}

impl std::error::Error for Interrupted {}

/// A flag that the first interrupt sets, for the command to end in good order; the second ends the
/// program at once.
pub fn watched() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, killed_by(signal), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    flag::register(SIGTERM, Arc::clone(&TERMINATED)).context("cannot listen for SIGTERM")?;
    Ok(stop)
}

/// A flag that SIGHUP sets, for the command to read its files again.
pub fn reload() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, Arc::clone(&asked)).context("cannot listen for SIGHUP")?;
    Ok(asked)
}
