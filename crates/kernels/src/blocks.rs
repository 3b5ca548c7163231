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

/// Takes the largest number of each block into `largest`. Both `columns` and `other` are a [`UNIT`] longer
/// than the columns that there are, and lost.
pub fn largest_of_blocks<S: Simd>(
    s: S,
    columns: &mut [u16],
    other: &mut [u16],
    blocks: Blocks,
    largest: &mut [u16],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let len = columns.len() - UNIT;
            let [slid, _] = slide::largest(columns, other, len, blocks.block);
            let slid = slid[blocks.first..].chunks(blocks.block.max(1));
            for (largest, slid) in largest.iter_mut().zip(slid) {
                *largest = slid[0].max(*largest);
            }
        },
    );
}

/// Makes `any` all ones for each block with a bit that is set in `bits`, a bit a column; the bits are lost.
pub fn any_of_blocks<S: Simd>(s: S, bits: &mut [u64], blocks: Blocks, any: &mut [u32]) {
    if blocks.block == 0 {
        return;
    }
    s.vectorize(
        #[inline(always)]
        || {
            slide::any(bits, blocks.block);
            let mut column = blocks.first;
            for any in any {
                let bit = bits[column / UNIT] >> (column % UNIT) & 1;
                *any |= 0u32.wrapping_sub(bit as u32);
                column += blocks.block;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scalar;

    #[test]
    fn any_bit_of_a_block() {
        let bits = [1 << 63, 0b1000, 0, 1 << 62];
        let set = [63, 67, 254];
        for block in 0..=130 {
            for first in 0..=70usize {
                let mut any = [0, 0, 7];
                let n = (256 - first).checked_div(block).map_or(3, |n| n.min(3));
                any_of_blocks(
                    Scalar,
                    &mut { bits },
                    Blocks { first, block },
                    &mut any[..n],
                );
                for (i, any) in any[..n].iter().enumerate() {
                    let start = first + i * block;
                    let found = set.iter().any(|at| (start..start + block).contains(at));
                    let held = if i == 2 { 7 } else { 0 };
                    assert_eq!(
                        *any,
                        if found { u32::MAX } else { held },
                        "{first} {block} {i}"
                    );
                }
            }
        }
    }
}
