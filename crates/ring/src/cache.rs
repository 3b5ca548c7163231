//! Hooks for memory that the CPU's caches do not follow.

use core::ops::Range;

/// What to do around the CPU's reads and writes where caches and a device do not see each other's by
/// themselves. Ranges are offsets in the mapping.
///
/// The reader calls [`before_cpu_read`](CacheHooks::before_cpu_read) for a slot's number each
/// time it looks for a frame and for the whole slot once the frame is there, and
/// [`after_cpu_read`](CacheHooks::after_cpu_read) when the slot goes back, on whichever thread
/// that happens. Two words of the control page pass between it and a device: the head, which it publishes and then
/// names to [`after_cpu_write`](CacheHooks::after_cpu_write), and how far a free-running device is, which it names to
/// `before_cpu_read`. Each has a line of its own, so that nothing of another writer is discarded or overwritten.
/// All other control words are between programs.
pub trait CacheHooks: Sync {
    /// The CPU is about to read these bytes: discard stale copies of them.
    fn before_cpu_read(&self, range: Range<usize>) {
        let _ = range;
    }

    /// The CPU has read these bytes and the device may write them again.
    fn after_cpu_read(&self, range: Range<usize>) {
        let _ = range;
    }

    /// The CPU has written these bytes and the device is to read them: write them back to memory. Without it a device
    /// under [`Policy::Credit`](crate::Policy::Credit) sees no slot come back.
    fn after_cpu_write(&self, range: Range<usize>) {
        let _ = range;
    }
}

/// Memory whose caches need no help: ordinary RAM, and devices behind a coherent bus.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coherent;

impl CacheHooks for Coherent {}
