//! A block of pixels → two cells: its largest sum of 3 × 3 counts, and the largest that is left of
//! such a sum without the largest of the nine.
//!
//! A Bragg spot covers a few pixels: the sum shows the weak one that no single pixel of it would.
//! A hot pixel or a particle's hit covers one, and however bright it is, nothing is left without it.

use hitgate_kernels::{
    MARGIN, NO_COUNT, Simd, UNIT, fold, found_len, near_len, nothing_near, peaks,
};

use super::INVALID;
use super::memory::{Memory, needs};
use super::rows::Rows;
use super::tiles::Tiles;

/// Rows of a tile that are read before they are looked at.
const ROWS: usize = 4;
/// Columns of a tile: what is known of them and the rows read stay in the first cache.
pub(super) const TILE: usize = 1280;

/// Words of memory that [`reduce`] works in.
pub(super) fn words(tiles: &Tiles<'_>) -> usize {
    let (n, columns) = (tiles.len(), tiles.widest());
    needs::<i16>(ROWS * pitch(columns))
        .saturating_add(needs::<i32>(n * near_len(columns)))
        .saturating_add(needs::<i32>(found_len(columns)))
        .saturating_add(needs::<i32>(columns + 2 * UNIT))
        .saturating_add(needs::<u16>(n * (columns + UNIT)))
        .saturating_add(needs::<u16>(columns + UNIT))
        .saturating_add(2 * needs::<u32>(columns))
}

/// Counts from one line to the next.
const fn pitch(columns: usize) -> usize {
    columns + 2 * MARGIN + UNIT
}

/// Reduces each block of the window to its cells of `sums` and of `rests`, rows of which are
/// `cells_pitch` apart.
///
/// Counts above 65535 are cut to it. An excluded pixel adds nothing to a sum, and neither does one
/// outside the window; a block without a valid pixel is invalid in both, and so is one that the
/// window does not see.
///
/// The sum about a place off the panel, and what is left of it, is no larger than about the place beside
/// it on the panel: those in a block need not be told apart.
pub(super) fn reduce<S: Simd>(
    s: S,
    tiles: &Tiles<'_>,
    rows: &mut impl Rows,
    [sums, rests]: [&mut [u32]; 2],
    cells_pitch: usize,
    memory: &mut Memory<'_>,
) {
    sums.fill(INVALID);
    rests.fill(INVALID);
    let (n, widest) = (tiles.len(), tiles.widest());
    let pitch = pitch(widest);
    let lines: &mut [i16] = memory.part(ROWS * pitch);
    let near: &mut [i32] = memory.part(n * near_len(widest));
    let found: &mut [i32] = memory.part(found_len(widest));
    let folded: &mut [i32] = memory.part(widest + 2 * UNIT);
    // How many pixels of each column of this row of blocks are valid; and of the row below it, which is
    // read with this one.
    let valid: &mut [u16] = memory.part(n * (widest + UNIT));
    let valid_below: &mut [u16] = memory.part(widest + UNIT);
    let [largest_sums, largest_rests] = [(); 2].map(|()| memory.part::<u32>(widest));
    nothing_near(s, near);
    valid.fill(0);
    let mut beside = 0..0;
    for (v, ys) in tiles.block_rows() {
        let seen = tiles.window.seen(v);
        // The row above was read with the blocks there.
        let first = match ys.start == tiles.ys.start {
            true => ys.start,
            false => ys.start + 1,
        };
        for t in 0..n {
            let tile = tiles.tile(t);
            let columns = tile.columns();
            let near = &mut near[t * near_len(widest)..][..near_len(columns)];
            let found = &mut found[..found_len(columns)];
            let valid = &mut valid[t * (widest + UNIT)..][..widest + UNIT];
            let padded = tile.start..tile.start + tile.xs.len().next_multiple_of(UNIT);
            let (lower, after) = tiles.after(t);
            valid_below.fill(0);
            // What is beside the columns that are read stays as it is.
            if beside != padded {
                for line in lines.chunks_exact_mut(pitch) {
                    line[..MARGIN + padded.start].fill(NO_COUNT);
                    line[MARGIN + padded.end..].fill(NO_COUNT);
                }
                beside.clone_from(&padded);
            }
            let mut y = first;
            while y <= ys.end {
                let batch = ROWS.min(ys.end + 1 - y);
                for (line, y) in lines.chunks_exact_mut(pitch).zip(y..y + batch) {
                    if y == tiles.ys.end {
                        line.fill(NO_COUNT);
                        continue;
                    }
                    let valid = match y < ys.end {
                        true => &mut valid[padded.clone()],
                        false => &mut valid_below[padded.clone()],
                    };
                    let line = &mut line[MARGIN..][padded.clone()];
                    rows.read(
                        s,
                        (y, tile.xs.clone()),
                        (y + lower, after.clone()),
                        line,
                        valid,
                    );
                }
                let lines = &lines[..batch * pitch];
                peaks(s, lines, pitch, near, found, y == first);
                y += batch;
            }
            let blocks = tile.us.len();
            let cells = [&mut largest_sums[..blocks], &mut largest_rests[..blocks]];
            fold(s, found, tile.blocks, folded, cells);
            let in_block = valid[tile.blocks.first..].chunks(tile.blocks.block.max(1));
            let row = v * cells_pitch;
            let [sums, rests] = [&mut *sums, &mut *rests].map(|cells| &mut cells[row..]);
            let found = largest_sums.iter().zip(&*largest_rests);
            for ((u, valid), (&sum, &rest)) in tile.us.zip(in_block).zip(found) {
                if seen.contains(&u) && valid.iter().any(|&n| n > 0) {
                    sums[u] = with(sums[u], sum);
                    rests[u] = with(rests[u], rest);
                }
            }
            valid.copy_from_slice(valid_below);
        }
    }
}

/// What is known of a block after another piece of it.
fn with(cell: u32, found: u32) -> u32 {
    match cell {
        INVALID => found,
        before => before.max(found),
    }
}
