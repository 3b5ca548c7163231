//! Lines of counts → the largest sum of 3 × 3 counts in each column, and the largest that is left of
//! such a sum without the largest of the nine.
//!
//! Columns are taken in strips of two registers' lanes, even and odd ones apart: a sum of two
//! neighbours is then one instruction of 16-bit products. What lasts from one row to the next stays in
//! registers for as many rows as are at hand.

use crate::{Ahead, Blocks, NO_COUNT, Simd, UNIT, slide};

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
/// `afresh`. Sums lack nine times what a [`Count`](crate::Count) lacks, and rests eight times.
pub fn peaks<S: Simd>(
    s: S,
    lines: &[i16],
    pitch: usize,
    near: &mut [i32],
    found: &mut [i32],
    afresh: bool,
    ahead: Ahead<'_>,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let (rows, half) = (lines.len() / pitch, found.len() / FOUND);
            let strips = near.len() / (NEAR * S::N);
            let mut ahead = ahead.in_steps(strips);
            for (strip, near) in near.chunks_exact_mut(NEAR * S::N).enumerate() {
                let start = MARGIN - 2 + 2 * S::N * strip;
                ahead.step(s);
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

/// What sums and rests lack of what a [`Count`](crate::Count) lacks, nine times and eight times.
const LACKS: [i32; 2] = [9 * -(NO_COUNT as i32), 8 * -(NO_COUNT as i32)];

/// Words that [`fold`] works in, for so many columns.
pub const fn fold_words(columns: usize) -> usize {
    4 * (columns / 2 + UNIT)
}

/// Takes the largest of `found` in each block into `largest`, a number a block: sums into the first, rests
/// into the second. The first block begins at an even column.
pub fn fold<S: Simd>(
    s: S,
    found: &[i32],
    blocks: Blocks,
    words: &mut [i32],
    largest: [&mut [i32]; 2],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let half = found.len() / FOUND;
            let found = found.chunks_exact(2 * half);
            let words = words.chunks_exact_mut(2 * (half + UNIT));
            for (((found, words), lacks), largest) in found.zip(words).zip(LACKS).zip(largest) {
                let starting = starting_at_columns(found, blocks.block, words);
                // Of each two blocks one begins at an even column, and the other at an odd one where blocks are odd.
                let [even, other] = [&*starting[0], &*starting[blocks.block % 2]];
                let mut at = [blocks.first / 2, (blocks.first + blocks.block) / 2];
                let take = |largest: &mut i32, found: &[i32], at: usize| {
                    if let Some(found) = found.get(at) {
                        *largest = (found + lacks).max(*largest);
                    }
                };
                let (two, one) = largest.as_chunks_mut();
                for [first, second] in two {
                    take(first, even, at[0]);
                    take(second, other, at[1]);
                    at = at.map(|at| at + blocks.block);
                }
                if let [last] = one {
                    take(last, even, at[0]);
                }
            }
        },
    );
}

/// The largest of `block` columns from an even column on, and from an odd one; those only where blocks can
/// begin there.
#[inline(always)]
fn starting_at_columns<'w>(
    found: &[i32],
    block: usize,
    words: &'w mut [i32],
) -> [&'w mut [i32]; 2] {
    let half = found.len() / 2;
    let (even, odd) = found.split_at(half);
    let (pairs, other) = words.split_at_mut(words.len() / 2);
    for ((pair, even), odd) in pairs.iter_mut().zip(even).zip(odd) {
        *pair = *even.max(odd);
    }
    // Of as many whole pairs as lie in a block, wherever it begins.
    let in_block = block / 2;
    let [pairs, other] = slide::largest(pairs, other, half, in_block);
    match (block % 2, in_block) {
        (0, _) => {}
        (_, 0) => {
            pairs[..half].copy_from_slice(even);
            other[..half].copy_from_slice(odd);
        }
        _ => {
            for ((from_odd, odd), pairs) in other.iter_mut().zip(odd).zip(&pairs[1..]) {
                *from_odd = *odd.max(pairs);
            }
            for (pair, even) in pairs.iter_mut().zip(&even[in_block.min(half)..]) {
                *pair = *even.max(pair);
            }
        }
    }
    [pairs, other]
}
