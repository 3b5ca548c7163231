//! Lines of counts → the largest sum of 3 × 3 counts in each column, and the largest that is left of
//! such a sum without the largest of the nine.
//!
//! Columns are taken in strips of two registers' lanes, even and odd ones apart: a sum of two
//! neighbours is then one instruction of 16-bit products. What lasts from one row to the next stays in
//! registers for as many rows as are at hand.

use crate::{Blocks, NO_COUNT, Simd, UNIT, slide};

/// Counts on each side of a line that the loops may look at.
pub const MARGIN: usize = 32;

/// Columns whose [`Near`] and [`Found`] are as many registers as they say.
const NEAR: usize = 6;
const FOUND: usize = 4;

/// Numbers that last from one row to the next, for so many columns.
pub const fn near_len(columns: usize) -> usize {
    columns / 2 * NEAR
}

/// Numbers that are found, for so many columns.
pub const fn found_len(columns: usize) -> usize {
    columns / 2 * FOUND
}

/// What is near before the first row: nothing.
pub fn nothing_near<S: Simd>(s: S, near: &mut [i32]) {
    s.vectorize(
        #[inline(always)]
        || {
            let none = Near::of(s, &[NO_COUNT; MARGIN + 4]);
            for row in near.chunks_exact_mut(NEAR / 2 * S::N) {
                none.store(s, row);
            }
        },
    );
}

/// Less than any sum.
const NOTHING_FOUND: i32 = i32::MIN;

/// Takes rows of counts: `lines` of `pitch` counts each, the first column after a [`MARGIN`]. Each
/// row completes the sums about the one before it.
///
/// `found` has sums in even columns, in odd ones, and then rests; what it held counts unless it is begun
/// `afresh`. Sums lack nine times what a [`Count`](crate::Count) lacks, rests
/// eight times; see [`fold`].
pub fn peaks<S: Simd>(
    s: S,
    lines: &[i16],
    pitch: usize,
    near: &mut [i32],
    found: &mut [i32],
    afresh: bool,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let (rows, half) = (lines.len() / pitch, found.len() / FOUND);
            for (strip, near) in near.chunks_exact_mut(NEAR * S::N).enumerate() {
                let start = MARGIN - 2 + 2 * S::N * strip;
                let mut most = match afresh {
                    true => Found::nothing(s),
                    false => Found::load(s, &found[strip * S::N..], half),
                };
                take(s, lines, [rows, pitch], start, near, &mut most);
                most.store(s, &mut found[strip * S::N..], half);
            }
        },
    );
}

/// Takes rows of the strip that begins two counts after `start`.
#[inline(always)]
fn take<S: Simd>(
    s: S,
    lines: &[i16],
    [rows, pitch]: [usize; 2],
    start: usize,
    near: &mut [i32],
    most: &mut Found<S>,
) {
    let (before, after) = near.split_at_mut(NEAR / 2 * S::N);
    let (mut above, mut middle) = (Near::load(s, before), Near::load(s, after));
    let mut at = start;
    for _ in 0..rows / 2 {
        let first = Near::of(s, &lines[at..]);
        let second = Near::of(s, &lines[at + pitch..]);
        at += 2 * pitch;
        let shared = middle.with(s, &first);
        most.take(s, above.with(s, &shared));
        most.take(s, shared.with(s, &second));
        (above, middle) = (first, second);
    }
    if rows % 2 == 1 {
        let below = Near::of(s, &lines[at..]);
        most.take(s, above.with(s, &middle.with(s, &below)));
        (above, middle) = (middle, below);
    }
    above.store(s, before);
    middle.store(s, after);
}

/// Of the columns of a strip and of their neighbours in a row, or in some: the sums in even and odd
/// columns, and the largest.
struct Near<S: Simd> {
    sums: [S::I32; 2],
    largest: S::I32,
}

impl<S: Simd> Near<S> {
    /// Of one row; `line` starts two columns before the strip.
    #[inline(always)]
    fn of(s: S, line: &[i16]) -> Self {
        let line = &line[..2 * S::N + 4];
        let middle = s.counts(&line[2..]);
        let sides = s.larger(s.counts(&line[1..]), s.counts(&line[3..]));
        Near {
            sums: s.threes(s.counts(line), middle, s.counts(&line[4..])),
            largest: s.larger(sides, middle),
        }
    }

    #[inline(always)]
    fn with(&self, s: S, other: &Self) -> Self {
        let ([even, odd], [more_even, more_odd]) = (self.sums, other.sums);
        Near {
            sums: [s.add(even, more_even), s.add(odd, more_odd)],
            largest: s.larger(self.largest, other.largest),
        }
    }

    #[inline(always)]
    fn load(s: S, from: &[i32]) -> Self {
        Near {
            sums: [s.bias(from), s.bias(&from[S::N..])],
            largest: s.bias(&from[2 * S::N..]),
        }
    }

    #[inline(always)]
    fn store(&self, s: S, to: &mut [i32]) {
        s.store(self.sums[0], to);
        s.store(self.sums[1], &mut to[S::N..]);
        s.store(self.largest, &mut to[2 * S::N..]);
    }
}

/// The largest sums and rests so far, in even and odd columns.
struct Found<S: Simd> {
    sums: [S::I32; 2],
    rests: [S::I32; 2],
}

impl<S: Simd> Found<S> {
    #[inline(always)]
    fn take(&mut self, s: S, nine: Near<S>) {
        let rests = s.less(nine.sums, nine.largest);
        self.sums = [
            s.max(self.sums[0], nine.sums[0]),
            s.max(self.sums[1], nine.sums[1]),
        ];
        self.rests = [
            s.max(self.rests[0], rests[0]),
            s.max(self.rests[1], rests[1]),
        ];
    }

    #[inline(always)]
    fn nothing(s: S) -> Self {
        let nothing = s.bias(&[NOTHING_FOUND; MARGIN]);
        Found {
            sums: [nothing; 2],
            rests: [nothing; 2],
        }
    }

    /// From four lines, `half` apart.
    #[inline(always)]
    fn load(s: S, from: &[i32], half: usize) -> Self {
        Found {
            sums: [s.bias(from), s.bias(&from[half..])],
            rests: [s.bias(&from[2 * half..]), s.bias(&from[3 * half..])],
        }
    }

    #[inline(always)]
    fn store(&self, s: S, to: &mut [i32], half: usize) {
        s.store(self.sums[0], to);
        s.store(self.sums[1], &mut to[half..]);
        s.store(self.rests[0], &mut to[2 * half..]);
        s.store(self.rests[1], &mut to[3 * half..]);
    }
}

/// The largest of `found` in each block: sums into `cells[0]`, rests into `cells[1]`, one number a block.
/// `words` are two lines of half as many numbers as there are columns and a [`UNIT`] more.
pub fn fold<S: Simd>(
    s: S,
    found: &[i32],
    blocks: Blocks,
    words: &mut [i32],
    cells: [&mut [u32]; 2],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let half = found.len() / FOUND;
            let (a, b) = words.split_at_mut(half + UNIT);
            let found = found.chunks_exact(2 * half.max(1));
            for ((cells, found), least) in cells.into_iter().zip(found).zip([9, 8]) {
                let (even, odd) = found.split_at(half);
                for ((pair, even), odd) in a.iter_mut().zip(even).zip(odd) {
                    *pair = *even.max(odd);
                }
                // Of as many whole pairs as lie in a block, wherever it starts.
                let in_block = blocks.block / 2;
                let pairs = slide::largest(a, b, half, in_block);
                let starts = (blocks.first..).step_by(blocks.block.max(1));
                for (cell, start) in cells.iter_mut().zip(starts) {
                    let pair = start / 2;
                    let largest = match (blocks.block % 2, start % 2) {
                        (0, _) => pairs[pair],
                        (_, 0) if in_block == 0 => even[pair],
                        (..) if in_block == 0 => odd[pair],
                        (_, 0) => pairs[pair].max(even[pair + in_block]),
                        (..) => odd[pair].max(pairs[pair + 1]),
                    };
                    *cell = (largest + least * -i32::from(NO_COUNT)) as u32;
                }
            }
        },
    );
}
