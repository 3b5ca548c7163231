//! The largest, or the sum, of so many neighbours along a line, in steps that double.
//!
//! Loops run over whole chunks: lines are [`UNIT`] numbers longer than what is asked for, and what those
//! hold matters to nobody.

use crate::UNIT;

/// Number `i` of `len` becomes the largest of `window` numbers from itself on, for as long as there are so
/// many; a window of 0 is one of 1. Works in both lines and gives the one that has it.
#[inline(always)]
pub(crate) fn largest<'a, T: Ord + Copy>(
    line: &'a mut [T],
    other: &'a mut [T],
    len: usize,
    window: usize,
) -> &'a [T] {
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
    from
}

/// `sums[i]` = the sum of `window` numbers of `line` from number `i` on; an odd window. `line` and both
/// `others` are a window and a [`UNIT`] longer than `sums`.
#[inline(always)]
pub(crate) fn sums(line: &[i32], window: usize, others: [&mut [i32]; 2], sums: &mut [i32]) {
    let n = (sums.len() + window - 1).next_multiple_of(UNIT / 4);
    sums.copy_from_slice(&line[..sums.len()]);
    let [mut to, mut from] = others;
    add(&line[..n], &line[1..], &mut to[..n]);
    let (mut done, mut reach) = (1, 2);
    while done < window {
        (from, to) = (to, from);
        if window & reach != 0 {
            for (sum, part) in sums.iter_mut().zip(&from[done..]) {
                *sum += part;
            }
            done += reach;
        }
        if done < window {
            add(&from[..n], &from[reach..], &mut to[..n]);
        }
        reach *= 2;
    }
}

#[inline(always)]
fn add(near: &[i32], far: &[i32], to: &mut [i32]) {
    for ((to, near), far) in to.iter_mut().zip(near).zip(far) {
        *to = near + far;
    }
}
