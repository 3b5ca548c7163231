//! Columns → blocks.

use crate::{Simd, UNIT, slide};

/// Blocks of columns, side by side.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// The first column of the first block.
    pub first: usize,
    /// Columns of a block.
    pub block: usize,
}

/// Writes the largest number of each block. Both `columns` and `other` are a [`UNIT`] longer than the
/// columns that there are, and lost.
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
            let len = columns.len() - UNIT;
            let slid = slide::largest(columns, other, len, blocks.block);
            let starts = slid[blocks.first..].iter().step_by(blocks.block.max(1));
            for (largest, slid) in largest.iter_mut().zip(starts) {
                *largest = u64::from(*slid);
            }
        },
    );
}
