//! Cells → levels by their rank: the histogram of the cells made flat.

use crate::{ACTIVATION_MAX, INVALID, Simd, UNIT};

/// Values of a cell.
const VALUES: usize = 1 << 16;

/// Words of memory that [`ranks`] works in: a histogram of every other cell, and one of the others. Most cells
/// of a dark frame are the same, and what adds to one number has to wait for itself.
pub const RANK_WORDS: usize = 2 * VALUES;

/// Parts of the histogram that are summed side by side.
const PARTS: usize = 16;

/// `floor(127 H / valid)`, with `H` the number of cells that are at most this one; an invalid cell gives 0.
/// Cells are at most 65535, `valid` of them; they are lost.
///
/// The work does not depend on the cells.
pub fn ranks<S: Simd>(s: S, cells: &mut [u32], valid: u32, histogram: &mut [u32], map: &mut [u8]) {
    s.vectorize(
        #[inline(always)]
        || {
            let [start, end] = measured(cells);
            map[..start].fill(0);
            map[end..].fill(0);
            let (cells, map) = (&mut cells[start..end], &mut map[start..end]);
            let histogram = &mut histogram[..RANK_WORDS];
            histogram.fill(0);
            let (even, odd) = histogram.split_at_mut(VALUES);
            let (pairs, last) = cells.as_chunks::<2>();
            for [a, b] in pairs {
                even[place(*a)] += u32::from(*a != INVALID);
                odd[place(*b)] += u32::from(*b != INVALID);
            }
            for cell in last {
                even[place(*cell)] += u32::from(*cell != INVALID);
            }
            let mut sums = [0; PARTS];
            let words = even.as_chunks_mut::<PARTS>().0.iter_mut();
            for (even, odd) in words.zip(odd.as_chunks::<PARTS>().0) {
                for ((sum, even), odd) in sums.iter_mut().zip(even).zip(odd) {
                    *sum += *even + *odd;
                    *even = *sum;
                }
            }
            let mut before = [0; PARTS];
            for part in 1..PARTS {
                before[part] = before[part - 1] + sums[part - 1];
            }
            for cell in cells.iter_mut() {
                let place = place(*cell);
                let rank = even[place] + before[place % PARTS];
                *cell = if *cell == INVALID { 0 } else { rank };
            }
            // A half more than 127 H is at least a half of 1 / valid from a multiple of it: no rounding of
            // f64 reaches the next integer. Adding 1.5 · 2⁵² to a half less leaves the floor in the low bits.
            const MAGIC: f64 = 6_755_399_441_055_744.0;
            let reciprocal = 1.0 / f64::from(valid.max(1));
            for (level, rank) in map.iter_mut().zip(&*cells) {
                let most = f64::from(*rank) * f64::from(ACTIVATION_MAX);
                *level = ((most + 0.5) * reciprocal - 0.5 + MAGIC).to_bits() as u8;
            }
        },
    );
}

/// The first and the end of the cells outside of which all are invalid; it may be a few more.
#[inline(always)]
fn measured(cells: &[u32]) -> [usize; 2] {
    // Without a branch for each cell.
    let one = |cells: &[u32]| cells.iter().fold(INVALID, |all, cell| all & cell) != INVALID;
    let start = cells.chunks(UNIT).position(one).unwrap_or(0) * UNIT;
    let last = cells.chunks(UNIT).rposition(one);
    let end = last.map_or(start, |last| cells.len().min((last + 1) * UNIT));
    [start, end]
}

/// Where the histogram counts a cell: neighbouring cells in neighbouring chunks, so that the sixteen
/// parts of the range can be summed as one.
#[inline(always)]
fn place(cell: u32) -> usize {
    usize::from((cell as u16).rotate_left(4))
}
