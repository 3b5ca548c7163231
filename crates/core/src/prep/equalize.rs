//! Cells → levels by their rank (Hui et al. 2023, with the grey levels 0..=127).

use super::{INVALID, MAP_MAX, Statistics};

/// Words of memory that [`equalize`] works in: a histogram of 16-bit cells.
pub(super) const WORDS: usize = 1 << 16;

/// `floor(H[cell] · 127 / V)`, with `H` the inclusive cumulative histogram of the `V` valid cells;
/// an invalid cell gives 0.
pub(super) fn equalize(cells: &[u32], found: &Statistics, histogram: &mut [u32], map: &mut [u8]) {
    let used = &mut histogram[..=found.largest as usize];
    used.fill(0);
    for &cell in cells.iter().filter(|&&cell| cell != INVALID) {
        used[cell as usize] += 1;
    }
    let mut below = 0;
    for level in used.iter_mut() {
        below += *level;
        *level =
            (u64::from(below) * u64::from(MAP_MAX) / u64::from(found.valid_cells.max(1))) as u32;
    }
    for (out, &cell) in map.iter_mut().zip(cells) {
        *out = match cell {
            INVALID => 0,
            cell => used[cell as usize] as u8,
        };
    }
}
