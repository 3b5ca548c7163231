//! Ctrl-C, and the requests to end, or to read files again, that a service manager sends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// What the program exits with after an interrupt: 128 and the number of SIGINT.
pub const EXIT_STATUS: u8 = 130;

/// The command ended early because it was asked to; what it did until then is in order.
#[derive(Debug)]
pub struct Interrupted {
    /// Frames left in the ring.
    pub left: u64,
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
        let status = i32::from(EXIT_STATUS);
        flag::register_conditional_shutdown(signal, status, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

/// A flag that SIGHUP sets, for the command to read its files again.
pub fn reload() -> Result<Arc<AtomicBool>> {
    let asked = Arc::new(AtomicBool::new(false));
    flag::register(SIGHUP, Arc::clone(&asked)).context("cannot listen for SIGHUP")?;
    Ok(asked)
}
