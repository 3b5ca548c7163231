//! A block of pixels → one cell: its largest count, or its mean.

use hitgate_kernels::{Blocks, Column, Largest, Simd, Sum, UNIT, largest_of_blocks};

use super::memory::{Memory, needs};
use super::rows::Rows;
use super::tiles::Tiles;
use super::{INVALID, LARGEST_CELL};

/// What becomes of the counts of a block, which are put together column by column.
pub(super) trait Reduced: Column + bytemuck::Pod {
    /// Writes what each block has of its columns; `other` is as long as `columns`, and both are lost.
    fn totals<S: Simd>(
        s: S,
        columns: &mut [Self],
        other: &mut [Self],
        blocks: Blocks,
        totals: &mut [u64],
    );
    /// How many pixels of a block are valid, of those in each column; or whether any is.
    fn valid(columns: &[u16]) -> u64;
    /// What two pieces of a block have together.
    fn with(total: u64, other: u64) -> u64;
    /// The cell of a block with so many valid pixels, at most [`LARGEST_CELL`].
    fn cell(total: u64, valid: u64) -> u64;
}

impl Reduced for Largest {
    fn totals<S: Simd>(
        s: S,
        columns: &mut [Self],
        other: &mut [Self],
        blocks: Blocks,
        totals: &mut [u64],
    ) {
        largest_of_blocks(s, columns, other, blocks, totals);
    }

    fn valid(columns: &[u16]) -> u64 {
        u64::from(columns.iter().any(|&n| n > 0))
    }

    fn with(total: u64, other: u64) -> u64 {
        total.max(other)
    }

    fn cell(total: u64, _: u64) -> u64 {
        total
    }
}

impl Reduced for Sum {
    fn totals<S: Simd>(
        _: S,
        columns: &mut [Self],
        _: &mut [Self],
        blocks: Blocks,
        totals: &mut [u64],
    ) {
        let blocks = columns[blocks.first..].chunks(blocks.block.max(1));
        for (total, block) in totals.iter_mut().zip(blocks) {
            *total = block.iter().sum();
        }
    }

    fn valid(columns: &[u16]) -> u64 {
        columns.iter().map(|&n| u64::from(n)).sum()
    }

    fn with(total: u64, other: u64) -> u64 {
        total + other
    }

    /// In sixteenths, rounded.
    fn cell(total: u64, valid: u64) -> u64 {
        (16 * total + valid / 2) / valid
    }
}

/// Columns of a tile: two lines of them stay in the first cache.
pub(super) const TILE: usize = 2112;

/// Words of memory that [`reduce`] works in.
pub(super) fn words<C>(tiles: &Tiles<'_>) -> usize {
    let columns = tiles.widest() + UNIT;
    (2 * needs::<C>(columns))
        .saturating_add(needs::<u16>(columns))
        .saturating_add(needs::<u64>(columns))
}

/// Reduces each block of the window that it sees to its cell; one without a valid pixel is invalid.
pub(super) fn reduce<S: Simd, C: Reduced>(
    s: S,
    tiles: &Tiles<'_>,
    rows: &mut impl Rows,
    cells: &mut [u32],
    memory: &mut Memory<'_>,
) {
    cells.fill(INVALID);
    let widest = tiles.widest() + UNIT;
    let [columns, other] = [(); 2].map(|()| memory.part::<C>(widest));
    let valid: &mut [u16] = memory.part(widest);
    let totals: &mut [u64] = memory.part(widest);
    for (v, ys) in tiles.block_rows() {
        let seen = tiles.window.seen(v);
        let mut whole = (0, 0);
        for t in 0..tiles.len() {
            let tile = tiles.tile(t);
            let padded = tile.start..tile.start + tile.xs.len().next_multiple_of(UNIT);
            let (lower, after) = tiles.after(t);
            columns.fill(C::zeroed());
            valid.fill(0);
            for y in ys.clone() {
                let (columns, valid) = (&mut columns[padded.clone()], &mut valid[padded.clone()]);
                let ahead = (y + lower, after.clone());
                rows.read(s, (y, tile.xs.clone()), ahead, columns, valid);
            }
            C::totals(s, columns, other, tile.blocks, &mut totals[..tile.us.len()]);
            let in_block = valid[tile.blocks.first..].chunks(tile.blocks.block.max(1));
            let cells = &mut cells[v * tiles.window.input as usize + tile.us.start..];
            for (((u, valid), total), cell) in tile.us.zip(in_block).zip(&*totals).zip(cells) {
                whole = (C::with(whole.0, *total), whole.1 + C::valid(valid));
                if tile.ends {
                    if whole.1 > 0 && seen.contains(&u) {
                        *cell = C::cell(whole.0, whole.1).min(u64::from(LARGEST_CELL)) as u32;
                    }
                    whole = (0, 0);
                }
            }
        }
    }
}
