//! Memory that goes to and fro between two threads, so that neither asks for more while frames come.

use crossbeam::channel::{Receiver, Sender, bounded};

/// Memory for one slot, or for one map.
pub type Memory = Box<[u8]>;

/// So many buffers of `len` bytes, and where they go back to.
pub fn buffers(count: usize, len: usize) -> (Sender<Memory>, Receiver<Memory>) {
    let (back, free) = bounded(count);
    for _ in 0..count {
        // Ones, not zeros: the pages are there before the first frame.
        let _ = back.try_send(vec![1; len].into_boxed_slice());
    }
    (back, free)
}
