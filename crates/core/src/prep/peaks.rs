//! A block of pixels → two cells: its largest sum of 3 × 3 counts, and the largest that is left of
//! such a sum without the largest of the nine.
//!
//! A Bragg spot covers a few pixels: the sum shows the weak one that no single pixel of it would.
//! A hot pixel or a particle's hit covers one, and however bright it is, nothing is left without it.

use hitgate_kernels::{
    MARGIN, NO_COUNT, Simd, UNIT, fold, fold_words, found_len, near_len, nothing_near, peaks,
};

use super::INVALID;
use super::memory::{Memory, needs};
use super::rows::Rows;
use super::tiles::Tiles;
use super::valid::{first_word, take_valid, valid_words, write_cells};

/// Rows of a tile that are read before they are looked at, at most.
const ROWS: usize = 6;
/// Columns of a tile: what is known of them and the rows read stay in the first cache.
pub(super) const TILE: usize = 1280;

/// Words of memory that [`reduce`] works in.
pub(super) fn words(tiles: &Tiles<'_>) -> usize {
    let (n, columns) = (tiles.len(), tiles.widest());
    needs::<i16>(ROWS * pitch(columns))
        .saturating_add(needs::<i32>(n * near_len(columns)))
        .saturating_add(needs::<i32>(found_len(columns)))
        .saturating_add(needs::<i32>(fold_words(columns)))
        .saturating_add(needs::<u64>((n + 1) * valid_words(columns)))
        .saturating_add(3 * needs::<u32>(tiles.window.input as usize))
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
pub(super) fn reduce<'f, S: Simd>(
    s: S,
    tiles: &Tiles<'_>,
    rows: &mut impl Rows<'f>,
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
    let folded: &mut [i32] = memory.part(fold_words(widest));
    // Which columns have a valid pixel in this row of blocks; and in the row of pixels below it, which is
    // read with this one.
    let in_tile = valid_words(widest);
    let bits: &mut [u64] = memory.part((n + 1) * in_tile);
    let (bits, bits_below) = bits.split_at_mut(n * in_tile);
    let input = tiles.window.input as usize;
    let valid: &mut [u32] = memory.part(input);
    let [largest_sums, largest_rests] = [(); 2].map(|()| memory.part::<i32>(input));
    let at_once = rows_at_once(tiles.window.block as usize);
    nothing_near(s, near);
    bits.fill(0);
    let mut beside = 0..0;
    for (v, ys) in tiles.block_rows() {
        valid.fill(0);
        largest_sums.fill(0);
        largest_rests.fill(0);
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
            let bits = &mut bits[t * in_tile..][..in_tile];
            let padded = tile.start..tile.start + tile.xs.len().next_multiple_of(UNIT);
            bits_below.fill(0);
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
                let end = ys.end.min(y + at_once - 1) + 1;
                let [now, later] = rows.ahead(tiles.after(t, y..end)).halves();
                let of_block = (y..end.min(ys.end), &mut *bits);
                let below = (ys.end..end, &mut *bits_below);
                for (part, bits) in [of_block, below] {
                    let lines = &mut lines[(part.start - y).min(ROWS) * pitch..];
                    if part.start == tiles.ys.end {
                        lines[..part.len() * pitch].fill(NO_COUNT);
                    } else if !part.is_empty() {
                        let columns = (&mut lines[MARGIN + padded.start..], pitch);
                        let bits = &mut bits[first_word(&tile)..];
                        rows.read(s, (part, tile.xs.clone()), columns, bits, now);
                    }
                }
                let lines = &lines[..(end - y) * pitch];
                peaks(s, lines, pitch, near, found, y == first, later);
                y = end;
            }
            let [sums, rests] = [&mut *largest_sums, &mut *largest_rests];
            let largest = [&mut sums[tile.us.clone()], &mut rests[tile.us.clone()]];
            fold(s, found, tile.blocks, folded, largest);
            take_valid(s, bits, &tile, valid);
            bits.copy_from_slice(bits_below);
        }
        let seen = tiles.window.seen(v);
        let row = v * cells_pitch..v * cells_pitch + input;
        write_cells(
            s,
            valid,
            seen.clone(),
            largest_sums.iter().map(|&sum| sum as u32),
            &mut sums[row.clone()],
        );
        write_cells(
            s,
            valid,
            seen,
            largest_rests.iter().map(|&rest| rest as u32),
            &mut rests[row],
        );
    }
}

/// So many rows that a block is read in the fewest steps, and those are alike; an even number, because two
/// rows share a sum.
fn rows_at_once(block: usize) -> usize {
    let steps = block.div_ceil(ROWS).max(1);
    block.div_ceil(steps).next_multiple_of(2).min(ROWS)
}
