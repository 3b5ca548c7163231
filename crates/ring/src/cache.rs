//! Hooks for memory that the CPU's caches do not follow.

use core::ops::Range;

/// What to do around the CPU's reads where a device's writes do not reach the caches by
/// themselves. Ranges are offsets in the mapping.
///
/// The reader calls [`before_cpu_read`](CacheHooks::before_cpu_read) for a slot's number each
/// time it looks for a frame and for the whole slot once the frame is there, and
/// [`after_cpu_read`](CacheHooks::after_cpu_read) when the slot goes back, on whichever thread
/// that happens.
pub trait CacheHooks: Sync {
    /// The CPU is about to read these bytes: discard stale copies of them.
    fn before_cpu_read(&self, range: Range<usize>) {
        let _ = range;
    }

    /// The CPU has read these bytes and the device may write them again.
    fn after_cpu_read(&self, range: Range<usize>) {
        let _ = range;
    }
}

/// Memory whose caches need no help: ordinary RAM, and devices behind a coherent bus.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coherent;

impl CacheHooks for Coherent {}
