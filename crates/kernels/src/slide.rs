//! The largest or any of so many neighbours along a line, in steps that double, and their sum.
//!
//! Loops run over whole chunks: lines are [`UNIT`] numbers longer than what is asked for, and what those
//! hold matters to nobody.

use crate::{Simd, UNIT};

/// Number `i` of `len` becomes the largest of `window` numbers from itself on, for as long as there are so
/// many; a window of 0 is one of 1. Works in both lines and gives the one that has it, then the other.
#[inline(always)]
pub(crate) fn largest<'a, T: Ord + Copy>(
    line: &'a mut [T],
    other: &'a mut [T],
    len: usize,
    window: usize,
) -> [&'a mut [T]; 2] {
    let (mut from, mut to) = (line, other);
    let mut reach = 1;
    while reach < window.min(len) {
        let step = reach.min(window - reach);
        let n = (len - step).next_multiple_of(UNIT);
        let far = &from[step..][..n];
        for ((to, near), far) in to[..n].iter_mut().zip(&from[..n]).zip(far) {
            *to = *near.max(far);
        }
        (from, to) = (to, from);
        reach += step;
    }
    [from, to]
}

/// Bit `i` is set where any of `window` bits from itself on is.
#[inline(always)]
pub(crate) fn any(bits: &mut [u64], window: usize) {
    let mut reach = 1;
    while reach < window {
        let step = reach.min(window - reach);
        let (words, shift) = (step / UNIT, step % UNIT);
        let end = bits.len().saturating_sub(words + 1);
        for i in 0..end {
            let far = bits[i + words] >> shift | bits[i + words + 1] << 1 << (UNIT - 1 - shift);
            bits[i] |= far;
        }
        if let Some(last) = bits.last().copied().filter(|_| words < bits.len()) {
            bits[end] |= last >> shift;
        }
        reach += step;
    }
}

/// `sums[i]` = the sum of `WINDOW` numbers of `line` from number `i` on, put together of whole sums of `PART`
/// and one number more. `sums` are whole [`WIDEST`](crate::simd::WIDEST) numbers, `line` and `parts` a window and
/// a [`UNIT`] longer.
#[inline(always)]
pub(crate) fn sums<S: Simd, const WINDOW: usize, const PART: usize>(
    s: S,
    line: &[i32],
    parts: &mut [i32],
    sums: &mut [i32],
) {
    const { assert!(WINDOW % PART == 1) };
    // Loaded anew for each number of a window: the compiler would splice what it has of its neighbours.
    let in_parts = (sums.len() + WINDOW - PART).next_multiple_of(S::N);
    for (at, part) in (0..)
        .step_by(S::N)
        .zip(parts[..in_parts].chunks_exact_mut(S::N))
    {
        let line = &line[at..][..S::N + PART - 1];
        let mut sum = s.bias(line);
        for i in 1..PART {
            sum = s.add(sum, s.bias(&line[i..]));
        }
        s.store(sum, part);
    }
    for (at, sums) in (0..).step_by(S::N).zip(sums.chunks_exact_mut(S::N)) {
        let (line, parts) = (&line[at..][..S::N + WINDOW], &parts[at..][..S::N + WINDOW]);
        let mut sum = s.bias(&line[WINDOW - 1..]);
        for i in 0..WINDOW / PART {
            sum = s.add(sum, s.bias(&parts[i * PART..]));
        }
        s.store(sum, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::{any, sums};
    use crate::isa::Scalar;

    #[test]
    fn any_of_a_window() {
        for window in 1..=200 {
            let mut bits = [1 << 63, 0b1000, 0, 1 << 63];
            let set = [63, 67, 255];
            any(&mut bits, window);
            for i in 0..256 {
                let expected = set.iter().any(|at| (i..i + window).contains(at));
                assert_eq!(bits[i / 64] >> (i % 64) & 1 == 1, expected, "{i}, {window}");
            }
        }
    }

    #[test]
    fn sums_of_a_window() {
        let mut line = [0; 4 * 16 + 17 + 64];
        for (i, number) in line.iter_mut().enumerate() {
            *number = (i * i % 101) as i32 - 50;
        }
        let mut found = [7; 4 * 16];
        let check = |window: usize, found: &[i32]| {
            for (i, sum) in found.iter().enumerate() {
                assert_eq!(
                    *sum,
                    line[i..i + window].iter().sum::<i32>(),
                    "{window}, {i}"
                );
            }
        };
        sums::<_, 7, 3>(Scalar, &line, &mut [9; 200], &mut found);
        check(7, &found);
        sums::<_, 17, 4>(Scalar, &line, &mut [9; 200], &mut found);
        check(17, &found);
    }
}
