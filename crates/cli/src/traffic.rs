//! What went through the sink, and what did not.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one run. Any thread may look.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Kept frames that were written.
    pub frames: Count,
    /// Their bytes, headers not counted.
    pub bytes: Count,
    /// Records that have no line, because too many were waiting for the disk.
    pub lines_lost: Count,
    /// Maps of dropped frames that were written.
    pub maps: Count,
    /// Dropped frames whose maps were left out, because too many were waiting for the disk, or it takes none.
    pub maps_lost: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// How many it is by now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}
