//! A block of 64-bit counters that one side writes and any process reads, out of 32-bit words.

use crate::region::Region;
use crate::sync::{Ordering, fence};

/// Two copies of `N` counters; the lowest bit of the version word names the valid one.
///
/// The writer fills the other copy and then steps the version, so a writer that dies at any
/// instruction leaves a whole block behind, which an odd-while-writing version would not.
#[derive(Clone, Copy)]
pub(crate) struct Block<const N: usize> {
    pub version_at: usize,
    pub copies_at: usize,
}

/// The block's one writer.
pub(crate) struct Publisher<const N: usize> {
    block: Block<N>,
    version: u32,
}

/// How often a reader tries again when the writer steps the version under it.
const ATTEMPTS: u32 = if cfg!(loom) { 1 } else { 64 };

impl<const N: usize> Publisher<N> {
    /// Publishes `values` as one.
    pub fn publish(&mut self, region: &Region<'_>, values: &[u64; N]) {
        let next = self.version.wrapping_add(1);
        // Whoever sees one of the stores below must also see the version that retired this copy.
        fence(Ordering::Release);
        for (i, value) in values.iter().enumerate() {
            let at = self.block.value_at(next, i);
            region.control(at).store(*value as u32, Ordering::Relaxed);
            region
                .control(at + 4)
                .store((*value >> 32) as u32, Ordering::Relaxed);
        }
        region
            .control(self.block.version_at)
            .store(next, Ordering::Release);
        self.version = next;
    }
}

impl<const N: usize> Block<N> {
    /// Becomes the block's writer, and says where the one before it stopped.
    pub fn take_over(self, region: &Region<'_>) -> (Publisher<N>, [u64; N]) {
        let version = region.control(self.version_at).load(Ordering::Acquire);
        let values = core::array::from_fn(|i| region.control_u64(self.value_at(version, i)));
        let block = self;
        (Publisher { block, version }, values)
    }

    /// The block as it was at one instant; `None` if the writer kept publishing meanwhile.
    pub fn snapshot(&self, region: &Region<'_>) -> Option<[u64; N]> {
        let version = region.control(self.version_at);
        for _ in 0..ATTEMPTS {
            let before = version.load(Ordering::Acquire);
            let mut values = [0; N];
            for (i, value) in values.iter_mut().enumerate() {
                *value = region.control_u64(self.value_at(before, i));
            }
            fence(Ordering::Acquire);
            if version.load(Ordering::Relaxed) == before {
                return Some(values);
            }
        }
        None
    }

    fn value_at(&self, version: u32, i: usize) -> usize {
        self.copies_at + (version & 1) as usize * 8 * N + 8 * i
    }
}
