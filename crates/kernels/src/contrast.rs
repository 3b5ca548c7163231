//! Cells → levels: how far each stands out of its neighbourhood, in units of the noise there.

use crate::simd::WIDEST;
use crate::windows::{Seven, Seventeen, Window, nothing};
use crate::{ACTIVATION_MAX, Simd};

/// A cell without a valid pixel.
pub const INVALID: u32 = u32::MAX;

/// Channels of a cell: whether a cell is valid is the same in both.
const CHANNELS: usize = 2;
/// The window whose mean a cell in its middle is compared with.
type Background<S> = Seven<S>;
/// The window whose deviations make the unit of the cell in its middle. The noise of a frame is not
/// the same everywhere: rings, shadows and tapers have their own.
type Noise<S> = Seventeen<S>;
/// A deviation counts for the unit up to so many mean ones of the map, so that spots do not hide
/// their neighbours.
const LARGEST_DEVIATIONS: i32 = 4;
/// The least unit, in 1/64 of a root of a count. Where almost no photon falls most cells are the
/// same, and a single photon would stand out like a spot.
const LEAST_UNIT: i32 = 13;
/// The level of a cell that is as bright as its neighbourhood.
const LEVEL_OF_BACKGROUND: i32 = 24;
/// Levels for one mean absolute deviation.
const LEVELS_PER_DEVIATION: i32 = 8;

/// Cells that the loops take at a time: rows are padded to a multiple of it.
const LANES: usize = WIDEST;
/// No deviation.
const NONE: i32 = i32::MIN;

/// Bits of what is summed over a neighbourhood: at most 17 · 17 numbers of at most 49,152. Above them a valid
/// cell has a one, in the first channel if its row is even, in the second if it is odd: so the sums
/// tell how many cells they are of, at most 9 · 17 each.
const SUM_BITS: u32 = 24;
const SUM: i32 = (1 << SUM_BITS) - 1;

/// What a valid cell of row `y` has above the number that is summed.
#[inline(always)]
const fn mark(channel: usize, y: usize) -> i32 {
    ((y % CHANNELS == channel) as i32) << SUM_BITS
}

/// Cells from one row to the next where there are `input` of them: those beyond are invalid.
pub const fn contrast_pitch(input: usize) -> usize {
    input.div_ceil(LANES).saturating_mul(LANES)
}

/// Words of memory that [`contrast`] works in, for `input` cells a side.
pub const fn contrast_words(input: usize) -> usize {
    let pitch = contrast_pitch(input);
    let maps = pitch.saturating_mul(input).saturating_mul(CHANNELS);
    maps.saturating_add(pitch.saturating_mul(2 * CHANNELS + 1))
}

/// `24 + floor(8 d / m)`, clamped to 1..=127, for both channels of each of `input` rows of `input` cells;
/// an invalid cell gives 0. The channels of a cell lie together in `map`.
///
/// `y = isqrt(512 (8 cell + 3))` is `64 √(cell + 3/8)`, whose noise does not depend on the counts
/// (Anscombe 1948); `d` is `y` less the mean of the valid `y` of its neighbourhood, rounded. The
/// unit `m` is the mean of `min(|d|, 4 M)` over the valid cells of a larger neighbourhood, `M` the
/// mean `|d|` of the map, rounded up; neither `m` nor `M` is less than the least unit. It takes out
/// the gain of the detector.
///
/// Rows of `cells` are [`contrast_pitch`] apart. A cell is at most 9 · 65535, and invalid in both channels
/// or in none. What becomes of the cells does not matter to the caller.
pub fn contrast<S: Simd>(
    s: S,
    input: usize,
    cells: [&mut [i32]; CHANNELS],
    words: &mut [i32],
    map: &mut [u8],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let pitch = contrast_pitch(input);
            let [first, second] = cells;
            // Without a branch for each cell.
            let row_has_one = |row: &[i32]| {
                let all = row.iter().fold(INVALID as i32, |all, cell| all & cell);
                all != INVALID as i32
            };
            let is_valid = |y: &usize| row_has_one(&first[y * pitch..][..pitch]);
            let start = (0..input).find(is_valid).unwrap_or(input);
            let end = (start..input)
                .rev()
                .find(is_valid)
                .map_or(start, |last| last + 1);
            let area = start * pitch..end * pitch;
            let (map, rest) = map.split_at_mut(CHANNELS * input * end);
            rest.fill(0);
            let (rest, map) = map.split_at_mut(CHANNELS * input * start);
            rest.fill(0);
            let roots = [&mut first[area.clone()], &mut second[area.clone()]];
            let (a, words) = words.split_at_mut(area.len());
            let (b, words) = words.split_at_mut(area.len());
            levels(
                s,
                pitch,
                roots,
                [a, b],
                words,
                map.chunks_exact_mut(CHANNELS * input.max(1)),
            );
        },
    );
}

#[inline(always)]
fn levels<'m, S: Simd>(
    s: S,
    pitch: usize,
    [first, second]: [&mut [i32]; CHANNELS],
    [a, b]: [&mut [i32]; CHANNELS],
    words: &mut [i32],
    map: impl Iterator<Item = &'m mut [u8]>,
) {
    for (channel, cells) in [&mut *first, &mut *second].into_iter().enumerate() {
        for (y, cells) in cells.chunks_exact_mut(pitch).enumerate() {
            take_roots(cells, mark(channel, y));
        }
    }
    let mut totals = [0u64; CHANNELS];
    let mut valid = 0u64;
    {
        let rows = first.chunks_exact(pitch).zip(second.chunks_exact(pitch));
        let mut rows = rows.zip(a.chunks_exact_mut(pitch).zip(b.chunks_exact_mut(pitch)));
        neighbourhoods::<S, Background<S>>(
            s,
            pitch,
            [first, second],
            words,
            #[inline(always)]
            |near| {
                let Some(((y0, y1), (d0, d1))) = rows.next() else {
                    return;
                };
                let found = deviations(near, [y0, y1], [d0, d1]);
                totals[0] += u64::from(found[0]);
                totals[1] += u64::from(found[1]);
                valid += u64::from(found[2]);
            },
        );
    }
    let most = totals
        .map(|total| LARGEST_DEVIATIONS * (total.div_ceil(valid.max(1)) as i32).max(LEAST_UNIT));
    // The roots are done with.
    let mut sizes = [first, second];
    for (channel, (sizes, d)) in sizes.iter_mut().zip([&*a, &*b]).enumerate() {
        let rows = sizes.chunks_exact_mut(pitch).zip(d.chunks_exact(pitch));
        for (y, (sizes, d)) in rows.enumerate() {
            take_sizes(d, most[channel], mark(channel, y), sizes);
        }
    }
    let mut rows = a.chunks_exact(pitch).zip(b.chunks_exact(pitch)).zip(map);
    neighbourhoods::<S, Noise<S>>(
        s,
        pitch,
        sizes.map(|sizes| &*sizes),
        words,
        #[inline(always)]
        |near| {
            if let Some(((d0, d1), map)) = rows.next() {
                in_units(near, [d0, d1], map);
            }
        },
    );
}

/// Of each cell of a row the sums over the valid cells near it, in each channel, with their numbers above
/// [`SUM_BITS`].
type Near<'m> = [&'m [i32]; CHANNELS];

/// The sums of a cell, and of how many cells they are.
#[inline(always)]
fn told_apart(near: [i32; CHANNELS]) -> ([i32; CHANNELS], i32) {
    let [evens, odds] = near.map(|sum| sum as u32 >> SUM_BITS);
    (near.map(|sum| sum & SUM), (evens + odds) as i32)
}

/// Tells, row by row, the sums of what `maps` have in a window about each of their cells, as high as it is wide.
#[inline(always)]
fn neighbourhoods<S: Simd, W: Window<S>>(
    s: S,
    pitch: usize,
    maps: [&[i32]; CHANNELS],
    words: &mut [i32],
    mut tell: impl FnMut(Near<'_>),
) {
    let reach = W::LEN / 2;
    let (columns, words) = words.split_at_mut(pitch * CHANNELS);
    let (near, words) = words.split_at_mut(pitch * CHANNELS);
    let nothing = &mut words[..pitch];
    columns.fill(0);
    nothing.fill(0);
    let rows = maps[0].len() / pitch;
    for y in 0..rows + reach {
        let lines = columns
            .chunks_exact_mut(pitch)
            .zip(near.chunks_exact_mut(pitch));
        for (map, (columns, near)) in maps.iter().zip(lines) {
            let row = |y: Option<usize>| {
                let row = y.filter(|&y| y < rows).map(|y| &map[y * pitch..][..pitch]);
                row.unwrap_or(nothing)
            };
            let (enters, leaves) = (row(Some(y)), row(y.checked_sub(W::LEN)));
            next_sums::<S, W>(s, columns, enters, leaves, near);
        }
        if y >= reach {
            let (first, second) = near.split_at(pitch);
            tell([first, second]);
        }
    }
}

/// Changes the sums of the columns by a row that `enters` the window and one that `leaves` it, and sums
/// those `near` each column.
#[inline(always)]
fn next_sums<S: Simd, W: Window<S>>(
    s: S,
    columns: &mut [i32],
    enters: &[i32],
    leaves: &[i32],
    near: &mut [i32],
) {
    let steps = near.len() / S::N + W::LATE;
    let mut window = W::new(s);
    let rows = enters.chunks_exact(S::N).zip(leaves.chunks_exact(S::N));
    let mut columns = columns.chunks_exact_mut(S::N).zip(rows);
    let mut near = near.chunks_exact_mut(S::N);
    for step in 0..steps {
        let mut sums = nothing(s);
        if let Some((columns, (enters, leaves))) = columns.next() {
            let more = s.add(s.bias(columns), s.bias(enters));
            sums = s.sub(more, s.bias(leaves));
            s.store(sums, columns);
        }
        let found = window.slide(s, sums);
        if step >= W::LATE
            && let Some(near) = near.next()
        {
            s.store(found, near);
        }
    }
}

/// 1.5 · 2²³: adding it leaves the nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;

#[inline(always)]
fn nearest(x: f32) -> i32 {
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i32
}

/// A row of cells → roots, in place and with a mark; 0 of an invalid cell, which no valid one has.
#[inline(always)]
fn take_roots(cells: &mut [i32], mark: i32) {
    for cell in cells {
        *cell = if *cell == INVALID as i32 {
            0
        } else {
            root(*cell) + mark
        };
    }
}

/// Writes how far the deviations of a row are from zero, `most` at most and with a mark; 0 of an invalid cell.
#[inline(always)]
fn take_sizes(deviations: &[i32], most: i32, mark: i32, sizes: &mut [i32]) {
    for (size, d) in sizes.iter_mut().zip(deviations) {
        *size = if *d == NONE {
            0
        } else {
            d.wrapping_abs().min(most) + mark
        };
    }
}

/// `isqrt(512 (8 cell + 3))`, for a cell of at most 9 · 65535.
#[inline(always)]
fn root(cell: i32) -> i32 {
    let eighths = cell.wrapping_mul(8).wrapping_add(3);
    let square = eighths as f32 * 512.0;
    // 1 / √square by Newton's steps from a guess at its logarithm; each doubles the bits that are right.
    let mut inverse = f32::from_bits(0x5F37_59DF - (square.to_bits() >> 1));
    for _ in 0..2 {
        inverse *= 1.5 - 0.5 * square * inverse * inverse;
    }
    // The root is right to 0.24; its nearest integer is the floor, or one more.
    let root = nearest(square * inverse) as u32;
    (root - u32::from(root.wrapping_mul(root) > eighths as u32 * 512)) as i32
}

/// `floor(sum / count)` with the reciprocal of a count of at most 49, for sums below 2²².
#[inline(always)]
fn quotient(sum: i32, reciprocal: f32) -> i32 {
    // A half more than the sum is at least 0.5 / 49 from a multiple of the count; the product is right to
    // 0.006, and a half less of it rounds to the floor.
    let floor = (sum as f32 + 0.5) * reciprocal - 0.5;
    nearest(floor)
}

/// Writes how far each root is above the mean of those near it, rounded; gives the sums of what that is
/// from zero, and the number of valid cells.
#[inline(always)]
fn deviations(
    near: Near<'_>,
    roots: [&[i32]; CHANNELS],
    deviations: [&mut [i32]; CHANNELS],
) -> [u32; CHANNELS + 1] {
    let mut found = [[0u32; LANES]; CHANNELS + 1];
    let [d0, d1] = deviations;
    let rows = d0
        .as_chunks_mut::<LANES>()
        .0
        .iter_mut()
        .zip(d1.as_chunks_mut::<LANES>().0);
    let roots = roots[0]
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(roots[1].as_chunks::<LANES>().0);
    let near = near[0]
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(near[1].as_chunks::<LANES>().0);
    for ((to, roots), near) in rows.zip(roots).zip(near) {
        let (near, roots) = ([*near.0, *near.1], [*roots.0, *roots.1]);
        let mut out = [[0; LANES]; CHANNELS];
        for i in 0..LANES {
            let (sums, count) = told_apart([near[0][i], near[1][i]]);
            let reciprocal = 1.0 / count as f32;
            let valid = roots[0][i] != 0;
            for channel in 0..CHANNELS {
                let mean = quotient(sums[channel] + count / 2, reciprocal);
                let d = (roots[channel][i] & SUM).wrapping_sub(mean);
                out[channel][i] = if valid { d } else { NONE };
                found[channel][i] += if valid { d.unsigned_abs() } else { 0 };
            }
            found[CHANNELS][i] += u32::from(valid);
        }
        (*to.0, *to.1) = (out[0], out[1]);
    }
    found.map(|lanes| lanes.iter().sum())
}

/// Deviations → levels, in the mean deviation near them.
#[inline(always)]
fn in_units(near: Near<'_>, deviations: [&[i32]; CHANNELS], map: &mut [u8]) {
    let deviations = deviations[0]
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(deviations[1].as_chunks::<LANES>().0);
    let near = near[0]
        .as_chunks::<LANES>()
        .0
        .iter()
        .zip(near[1].as_chunks::<LANES>().0);
    for ((map, d), near) in map.chunks_mut(CHANNELS * LANES).zip(deviations).zip(near) {
        let (near, d) = ([*near.0, *near.1], [*d.0, *d.1]);
        let mut levels = [0; CHANNELS * LANES];
        for i in 0..LANES {
            let (sums, count) = told_apart([near[0][i], near[1][i]]);
            for channel in 0..CHANNELS {
                let level = level(d[channel][i], sums[channel], count);
                levels[CHANNELS * i + channel] = if d[channel][i] == NONE { 0 } else { level };
            }
        }
        map.copy_from_slice(&levels[..map.len()]);
    }
}

/// `24 + floor(8 d / m)`, clamped to 1..=127, with `m` the mean of `count` numbers of this `sum`, or the
/// least unit.
#[inline(always)]
fn level(d: i32, sum: i32, count: i32) -> u8 {
    let unit = sum.max(LEAST_UNIT * count);
    let in_units = d.wrapping_mul(LEVELS_PER_DEVIATION).wrapping_mul(count);
    // Both are right to 24 bits, so that the nearest integer is the floor or one more; beyond the clamp it
    // does not matter.
    const LOWEST: f32 = -(LEVEL_OF_BACKGROUND as f32);
    const HIGHEST: f32 = (ACTIVATION_MAX as i32 - LEVEL_OF_BACKGROUND + 1) as f32;
    let quotient = in_units as f32 / unit as f32;
    let within = if quotient > LOWEST { quotient } else { LOWEST };
    let within = if within < HIGHEST { within } else { HIGHEST };
    let nearest = nearest(within);
    let floor = nearest - i32::from(in_units < nearest.wrapping_mul(unit));
    (LEVEL_OF_BACKGROUND + floor).clamp(1, i32::from(ACTIVATION_MAX)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_exact() {
        for cell in 0..=9 * 65535 {
            let square = 512 * (8 * cell as u32 + 3);
            assert_eq!(root(cell) as u32, square.isqrt(), "{cell}");
        }
    }

    #[test]
    fn quotients_are_exact_where_they_change() {
        for count in 1..=49 {
            for quotient_is in 0..=49_152 {
                for sum in [quotient_is * count, (quotient_is + 1) * count - 1] {
                    let found = quotient(sum, 1.0 / count as f32);
                    assert_eq!(found, quotient_is, "{sum} / {count}");
                }
            }
        }
    }

    #[test]
    fn levels_are_exact_where_they_change() {
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((u128::from(state) * u128::from(below)) >> 64) as i32
        };
        for _ in 0..2_000_000 {
            let count = 1 + random(289);
            let below = 49_112 * count as u64;
            let fewer = random(20);
            let sum = random(below >> fewer);
            let unit = i64::from(sum.max(13 * count));
            // A deviation at which the floor changes, and its neighbours.
            let k = i64::from(random(140)) - 30;
            let at = (k * unit).div_euclid(8 * i64::from(count));
            for d in [at - 1, at, at + 1] {
                let d = d.clamp(-49_112, 49_112);
                let expected = 24 + (8 * d * i64::from(count)).div_euclid(unit);
                let found = level(d as i32, sum, count);
                assert_eq!(
                    i64::from(found),
                    expected.clamp(1, 127),
                    "{d} {sum} {count}"
                );
            }
        }
    }
}
