//! Columns → blocks.

use crate::{Simd, slide};

/// Blocks of columns, side by side.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// The first column of the first block.
    pub first: usize,
    /// Columns of a block.
    pub block: usize,
}

/// Writes the largest number of each block. `other` is as long as `columns`, and both are lost.
pub fn largest_of_blocks<S: Simd>(
    s: S,
    columns: &mut [u16],
    other: &mut [u16],
    blocks: Blocks,
    largest: &mut [u64],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let slid = slide::largest(columns, other, blocks.block);
            let starts = slid[blocks.first..].iter().step_by(blocks.block.max(1));
            for (largest, slid) in largest.iter_mut().zip(starts) {
                *largest = u64::from(*slid);
            }
        },
    );
}
