//! Memory that the driver gives, and that the device reads and writes by itself.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::result;

use super::{Context, Failed, Of};

/// So many bytes of it, zeros to begin with.
pub struct Pinned {
    context: Arc<Context>,
    at: *mut u8,
    bytes: usize,
}

// SAFETY: *any thread*: it belongs to whoever has it.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Takes at least one byte.
    ///
    /// # Errors
    /// Where the driver has not as much.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, Failed> {
        let _entered = context.enter()?;
        let bytes = bytes.max(1);
        // SAFETY: *of the driver*: it is given back once, in `Drop`.
        let at = unsafe { result::malloc_host(bytes, 0) }.of("cuMemHostAlloc")?;
        let at: *mut u8 = at.cast();
        // SAFETY: *waited for*: so many bytes are there, and nobody else has them yet.
        unsafe { std::ptr::write_bytes(at, 0, bytes) };
        context.add_registered(at.addr()..at.addr() + bytes);
        Ok(Pinned {
            context: Arc::clone(context),
            at,
            bytes,
        })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: *waited for*: so long and initialized since `new`; the device writes to a `Gpu`'s own alone, within `Gpu::run`, and
        // a lost `Gpu` does not lend it any more.
        unsafe { std::slice::from_raw_parts(self.at, self.bytes) }
    }

    /// All of it, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: *waited for*, as in `bytes`; the device reads it within `Gpu::run`, which borrows it, and a late one perhaps later:
        // nothing that it says is believed any more.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.bytes) }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // A late device may still read or write there, now or never.
        if self.context.is_late() {
            return;
        }
        self.context.remove_registered(self.at.addr());
        let _entered = self.context.enter();
        // What a lost device refuses is lost with it.
        // SAFETY: *of the driver*, *waited for*: it was given in this context, and nobody copies from it or to it now.
        let _ = unsafe { result::free_host(self.at.cast()) };
    }
}
