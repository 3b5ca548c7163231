//! A block of pixels → one cell: its largest count, or its mean.

use bytemuck::Zeroable;
use hitgate_kernels::{Blocks, Column, Largest, SUM_BITS, Simd, Sum, UNIT, largest_of_blocks};

use super::memory::{Memory, needs};
use super::rows::Rows;
use super::tiles::Tiles;
use super::valid::{first_word, take_valid, valid_words, write_cells};
use super::{INVALID, LARGEST_CELL};

/// What becomes of the counts of a block, which are put together column by column.
pub(super) trait Reduced: Column + bytemuck::Pod {
    /// What is known of a block.
    type Total: bytemuck::Pod;
    /// Takes the columns of each block into its total; `other` is as long as `columns`, and both are lost.
    fn take_blocks<S: Simd>(
        s: S,
        columns: &mut [Self],
        other: &mut [Self],
        blocks: Blocks,
        totals: &mut [Self::Total],
    );
    /// The cell of a block, at most [`LARGEST_CELL`].
    fn cell(total: Self::Total) -> u32;
}

impl Reduced for Largest {
    type Total = Largest;

    fn take_blocks<S: Simd>(
        s: S,
        columns: &mut [Self],
        other: &mut [Self],
        blocks: Blocks,
        totals: &mut [Largest],
    ) {
        largest_of_blocks(s, columns, other, blocks, totals);
    }

    #[inline(always)]
    fn cell(total: Largest) -> u32 {
        total.into()
    }
}

impl Reduced for Sum {
    /// The sum, and of how many counts.
    type Total = [u64; 2];

    fn take_blocks<S: Simd>(
        _: S,
        columns: &mut [Self],
        _: &mut [Self],
        blocks: Blocks,
        totals: &mut [Self::Total],
    ) {
        let blocks = columns[blocks.first..].chunks(blocks.block.max(1));
        for ([sum, number], block) in totals.iter_mut().zip(blocks) {
            for column in block {
                *sum += column & !(u64::MAX << SUM_BITS);
                *number += column >> SUM_BITS;
            }
        }
    }

    /// In sixteenths, rounded.
    fn cell([sum, number]: Self::Total) -> u32 {
        let mean = sum.saturating_mul(16).saturating_add(number / 2) / number.max(1);
        mean.min(u64::from(LARGEST_CELL)) as u32
    }
}

/// Columns of a tile: two lines of them stay in the first cache.
pub(super) const TILE: usize = 2112;

/// Words of memory that [`reduce`] works in.
pub(super) fn words<C: Reduced>(tiles: &Tiles<'_>) -> usize {
    let (columns, input) = (tiles.widest() + UNIT, tiles.window.input as usize);
    (2 * needs::<C>(columns))
        .saturating_add(needs::<u64>(valid_words(columns)))
        .saturating_add(needs::<C::Total>(input))
        .saturating_add(needs::<u32>(input))
}

/// Reduces each block of the window that it sees to its cell; one without a valid pixel is invalid.
pub(super) fn reduce<'f, S: Simd, C: Reduced>(
    s: S,
    tiles: &Tiles<'_>,
    rows: &mut impl Rows<'f>,
    cells: &mut [u32],
    memory: &mut Memory<'_>,
) {
    cells.fill(INVALID);
    let (widest, input) = (tiles.widest() + UNIT, tiles.window.input as usize);
    let [columns, other] = [(); 2].map(|()| memory.part::<C>(widest));
    let bits: &mut [u64] = memory.part(valid_words(widest));
    let totals: &mut [C::Total] = memory.part(input);
    let valid: &mut [u32] = memory.part(input);
    for (v, ys) in tiles.block_rows() {
        totals.fill(C::Total::zeroed());
        valid.fill(0);
        for t in 0..tiles.len() {
            let tile = tiles.tile(t);
            let padded = tile.start..tile.start + tile.xs.len().next_multiple_of(UNIT);
            columns.fill(C::zeroed());
            bits.fill(0);
            let part = (ys.clone(), tile.xs.clone());
            let (columns_read, bits_read) = (&mut columns[padded], &mut bits[first_word(&tile)..]);
            let ahead = rows.ahead(tiles.after(t, ys.clone()));
            rows.read(s, part, (columns_read, 0), bits_read, ahead);
            C::take_blocks(s, columns, other, tile.blocks, &mut totals[tile.us.clone()]);
            take_valid(s, bits, &tile, valid);
        }
        let found = totals.iter().map(|total| C::cell(*total));
        let row = &mut cells[v * input..][..input];
        write_cells(s, valid, tiles.window.seen(v), found, row);
    }
}
