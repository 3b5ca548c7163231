//! Cells → levels: how far each stands out of its neighbourhood.

use super::{INVALID, MAP_MAX};

/// How far a neighbourhood reaches, and the least unit of noise.
#[derive(Clone, Copy)]
pub(super) struct Noise {
    /// Cells on each side: `2 reach + 1` squared with the cell itself.
    pub reach: usize,
    /// In 1/64 of a root of a count. Where almost no photon falls most cells are the same, and a
    /// single photon would stand out like a spot.
    pub least: u32,
}

/// The level of a cell that is as bright as its neighbourhood.
const LEVEL_OF_BACKGROUND: i64 = 24;
/// Levels for one mean absolute deviation.
const LEVELS_PER_DEVIATION: i64 = 8;

/// Words of memory that [`contrast`] works in, for `input` cells a side.
pub(super) const fn words(input: u32) -> usize {
    (input as usize).saturating_mul(2)
}

/// `24 + floor(8 d / m)`, clamped to 1..=127; an invalid cell gives 0. Written to every
/// `step`-th byte of `map` from `first` on.
///
/// `y = isqrt(512 (8 cell + 3))` is `64 √(cell + 3/8)`, whose noise does not depend on the counts
/// (Anscombe 1948); `d` is `y` less the mean of the valid `y` of its neighbourhood, rounded. The
/// unit `m`, the mean of `|d|` over the valid cells or the least one, takes out the gain of the
/// detector. The cells become their `y`.
pub(super) fn contrast(
    noise: Noise,
    input: usize,
    cells: &mut [u32],
    words: &mut [u32],
    map: &mut [u8],
    [first, step]: [usize; 2],
) {
    let mut valid = 0i64;
    for cell in cells.iter_mut().filter(|cell| **cell != INVALID) {
        *cell = (512 * (8 * *cell + 3)).isqrt();
        valid += 1;
    }
    let mut columns = Columns::new(words, input);
    let mut deviations = 0i64;
    columns.deviations(noise.reach, cells, |_, d| deviations += i64::from(d.abs()));
    map.iter_mut()
        .skip(first)
        .step_by(step)
        .for_each(|level| *level = 0);
    let unit = deviations.max(valid * i64::from(noise.least)).max(1);
    columns.deviations(noise.reach, cells, |i, d| {
        let level =
            LEVEL_OF_BACKGROUND + (i64::from(d) * LEVELS_PER_DEVIATION * valid).div_euclid(unit);
        map[first + i * step] = level.clamp(1, i64::from(MAP_MAX)) as u8;
    });
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

    fn clear(&mut self) {
        self.sums.fill(0);
        self.counts.fill(0);
    }

    /// Tells place and deviation from the neighbourhood of every valid cell.
    fn deviations(&mut self, reach: usize, cells: &[u32], mut tell: impl FnMut(usize, i32)) {
        let input = self.sums.len();
        self.clear();
        for row in cells.chunks_exact(input).take(reach) {
            self.enter(row);
        }
        for (y, row) in cells.chunks_exact(input).enumerate() {
            if let Some(below) = cells.chunks_exact(input).nth(y + reach) {
                self.enter(below);
            }
            if let Some(above) = y.checked_sub(reach + 1) {
                self.leave(&cells[above * input..(above + 1) * input]);
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
                    tell(
                        y * input + x,
                        cell as i32 - ((sum + count / 2) / count) as i32,
                    );
                }
            }
        }
    }

    fn enter(&mut self, row: &[u32]) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum += cell;
                *count += 1;
            }
        }
    }

    fn leave(&mut self, row: &[u32]) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum -= cell;
                *count -= 1;
            }
        }
    }
}
