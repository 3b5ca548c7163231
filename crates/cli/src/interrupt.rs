//! Ctrl-C, and the requests to end, or to read files again, that a service manager sends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Signals so soon after the first are the same request: `timeout` and some service managers send one to the program and
/// one to its group.
const SAME_REQUEST: Duration = Duration::from_millis(500);

/// Set once a service manager asked. Signals are the process's, and so is this.
static TERMINATED: AtomicBool = AtomicBool::new(false);

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
        // After the flag that the first signal set.
        fence(Ordering::Acquire);
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

/// A flag that the first interrupt sets, for the command to end in good order; a second request ends the program at once.
pub fn watched() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    let asked = Arc::clone(&stop);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut first: Option<Instant> = None;
            for signal in signals.forever() {
                if signal == SIGTERM {
                    TERMINATED.store(true, Ordering::Relaxed);
                }
                asked.store(true, Ordering::Release);
                if first.get_or_insert_with(Instant::now).elapsed() > SAME_REQUEST {
                    signal_hook::low_level::exit(killed_by(signal));
                }
            }
        })
        .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// A flag that SIGHUP sets, for the command to read its files again.
pub fn reload() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, Arc::clone(&asked)).context("cannot listen for SIGHUP")?;
    Ok(asked)
}
