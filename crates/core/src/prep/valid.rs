//! Which blocks have a valid pixel.

use core::ops::Range;

use hitgate_kernels::{Blocks, Simd, UNIT, any_of_blocks};

use super::INVALID;
use super::tiles::Tile;

/// Words of the bits of a tile's columns, at most so many.
pub(super) const fn valid_words(columns: usize) -> usize {
    2 * columns.div_ceil(UNIT) + 1
}

/// The word of the first column that is read of a tile; before it nothing is valid.
pub(super) const fn first_word(tile: &Tile) -> usize {
    tile.start.div_ceil(UNIT)
}

/// Makes `valid` all ones for each block of a tile with a column that is in `bits`, which are lost.
pub(super) fn take_valid<S: Simd>(s: S, bits: &mut [u64], tile: &Tile, valid: &mut [u32]) {
    let words = first_word(tile) + tile.xs.len().div_ceil(UNIT) + 1;
    let blocks = Blocks {
        first: first_word(tile) * UNIT - tile.start + tile.blocks.first,
        ..tile.blocks
    };
    any_of_blocks(s, &mut bits[..words], blocks, &mut valid[tile.us.clone()]);
}

/// Writes a row of cells: what was found in a block if it is seen and valid.
pub(super) fn write_cells<S: Simd>(
    s: S,
    valid: &mut [u32],
    seen: Range<usize>,
    found: impl Iterator<Item = u32>,
    cells: &mut [u32],
) {
    valid[..seen.start].fill(0);
    valid[seen.end..].fill(0);
    s.vectorize(
        #[inline(always)]
        || {
            for ((cell, valid), found) in cells.iter_mut().zip(valid).zip(found) {
                *cell = (found & *valid) | (INVALID & !*valid);
            }
        },
    );
}
