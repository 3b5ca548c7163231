//! The largest or any of so many neighbours along a line, in steps that double.
//!
//! Loops run over whole chunks: lines are [`UNIT`] numbers longer than what is asked for, and what those
//! hold matters to nobody.

use crate::UNIT;

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

#[cfg(test)]
mod tests {
    use super::any;

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
}
