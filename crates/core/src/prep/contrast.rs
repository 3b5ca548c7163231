//! Cells → levels: how far each stands out of its neighbourhood, in units of the noise there.

use super::{INVALID, MAP_MAX};

/// Cells on each side of a cell whose mean it is compared with: 7 × 7 with itself.
const BACKGROUND_REACH: usize = 3;
/// Cells on each side whose deviations make the unit: 17 × 17. The noise of a frame is not the same
/// everywhere: rings, shadows and tapers have their own.
const NOISE_REACH: usize = 8;
/// A deviation counts for the unit up to so many mean ones of the map, so that spots do not hide
/// their neighbours.
const LARGEST_DEVIATIONS: u32 = 4;
/// The least unit, in 1/64 of a root of a count. Where almost no photon falls most cells are the
/// same, and a single photon would stand out like a spot.
const LEAST_UNIT: u64 = 13;
/// The level of a cell that is as bright as its neighbourhood.
const LEVEL_OF_BACKGROUND: i64 = 24;
/// Levels for one mean absolute deviation.
const LEVELS_PER_DEVIATION: i64 = 8;

/// Words of memory that [`contrast`] works in, for `input` cells a side.
pub(super) const fn words(input: u32) -> usize {
    let side = input as usize;
    side.saturating_mul(side)
        .saturating_add(side.saturating_mul(2))
}

/// `24 + floor(8 d / m)`, clamped to 1..=127; an invalid cell gives 0. Written to every
/// `step`-th byte of `map` from `first` on.
///
/// `y = isqrt(512 (8 cell + 3))` is `64 √(cell + 3/8)`, whose noise does not depend on the counts
/// (Anscombe 1948); `d` is `y` less the mean of the valid `y` of its neighbourhood, rounded. The
/// unit `m` is the mean of `min(|d|, 4 M)` over the valid cells of a larger neighbourhood, `M` the
/// mean `|d|` of the map, rounded up; neither `m` nor `M` is less than the least unit. It takes out
/// the gain of the detector. The cells become their `y`.
pub(super) fn contrast(
    input: usize,
    cells: &mut [u32],
    words: &mut [u32],
    map: &mut [u8],
    [first, step]: [usize; 2],
) {
    let (deviations, words) = words.split_at_mut(cells.len());
    let mut columns = Columns::new(words, input);
    for cell in cells.iter_mut().filter(|cell| **cell != INVALID) {
        *cell = (512 * (8 * *cell + 3)).isqrt();
    }
    deviations.fill(INVALID);
    let (mut sum, mut valid) = (0u64, 0u64);
    columns.neighbourhoods(
        BACKGROUND_REACH,
        cells,
        |y| y,
        |i, near| {
            // Both are below 2^20.
            let d = cells[i] as i32 - ((near.sum + near.count / 2) / near.count) as i32;
            deviations[i] = zigzag(d);
            sum += u64::from(d.unsigned_abs());
            valid += 1;
        },
    );
    let mean = sum.div_ceil(valid.max(1)).max(LEAST_UNIT) as u32;
    let most = LARGEST_DEVIATIONS * mean;
    map.iter_mut()
        .skip(first)
        .step_by(step)
        .for_each(|level| *level = 0);
    columns.neighbourhoods(
        NOISE_REACH,
        deviations,
        |d| unzigzag(d).unsigned_abs().min(most),
        |i, near| {
            let d = i64::from(unzigzag(deviations[i]));
            let unit = u64::from(near.sum).max(LEAST_UNIT * u64::from(near.count)) as i64;
            let level = LEVEL_OF_BACKGROUND
                + (d * LEVELS_PER_DEVIATION * i64::from(near.count)).div_euclid(unit);
            map[first + i * step] = level.clamp(1, i64::from(MAP_MAX)) as u8;
        },
    );
}

/// A signed number in a word that is never [`INVALID`]: 0, −1, 1, −2 as 0, 1, 2, 3.
const fn zigzag(d: i32) -> u32 {
    ((d << 1) ^ (d >> 31)) as u32
}

const fn unzigzag(word: u32) -> i32 {
    (word >> 1) as i32 ^ -((word & 1) as i32)
}

/// The valid cells about one.
struct Near {
    sum: u32,
    count: u32,
}

/// Sums of the valid cells in each column of a band of rows.
struct Columns<'m> {
    sums: &'m mut [u32],
    counts: &'m mut [u32],
}

impl<'m> Columns<'m> {
    /// In borrowed words, two for each column.
    fn new(words: &'m mut [u32], input: usize) -> Self {
        let (sums, rest) = words.split_at_mut(input);
        Columns {
            sums,
            counts: &mut rest[..input],
        }
    }

    /// Tells of every valid cell its place and the sum over the cells within `reach`, each taken as
    /// its `value`.
    fn neighbourhoods(
        &mut self,
        reach: usize,
        cells: &[u32],
        value: impl Fn(u32) -> u32,
        mut tell: impl FnMut(usize, Near),
    ) {
        let input = self.sums.len();
        self.sums.fill(0);
        self.counts.fill(0);
        for row in cells.chunks_exact(input).take(reach) {
            self.enter(row, &value);
        }
        for (y, row) in cells.chunks_exact(input).enumerate() {
            if let Some(below) = cells.chunks_exact(input).nth(y + reach) {
                self.enter(below, &value);
            }
            if let Some(above) = y.checked_sub(reach + 1) {
                self.leave(&cells[above * input..(above + 1) * input], &value);
            }
            let (mut sum, mut count) = (0, 0);
            for x in 0..reach.min(input) {
                sum += self.sums[x];
                count += self.counts[x];
            }
            for (x, &cell) in row.iter().enumerate() {
                if let (Some(s), Some(n)) = (self.sums.get(x + reach), self.counts.get(x + reach)) {
                    sum += s;
                    count += n;
                }
                if let Some(left) = x.checked_sub(reach + 1) {
                    sum -= self.sums[left];
                    count -= self.counts[left];
                }
                if cell != INVALID {
                    tell(y * input + x, Near { sum, count });
                }
            }
        }
    }

    fn enter(&mut self, row: &[u32], value: impl Fn(u32) -> u32) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum += value(cell);
                *count += 1;
            }
        }
    }

    fn leave(&mut self, row: &[u32], value: impl Fn(u32) -> u32) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum -= value(cell);
                *count -= 1;
            }
        }
    }
}
