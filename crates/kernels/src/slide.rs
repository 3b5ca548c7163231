//! The largest, or the sum, of so many neighbours along a line, in steps that double.

/// Number `i` becomes the largest of `window` numbers from itself on, and of those that there are near
/// the end; a window of 0 is one of 1. Works in both lines and gives the one that has it; what the other
/// holds is lost.
#[inline(always)]
pub(crate) fn largest<'a, T: Ord + Copy>(
    line: &'a mut [T],
    other: &'a mut [T],
    window: usize,
) -> &'a [T] {
    let (mut from, mut to) = (line, other);
    let mut reach = 1;
    while reach < window {
        let step = reach.min(window - reach);
        combine(from, from, to, step, T::max);
        (from, to) = (to, from);
        reach += step;
    }
    from
}

/// `sums[i]` = the sum of `window` numbers of `line` from number `i` on; `line` is as many longer than
/// `sums` as that asks for. `words` are twice as long as `line`, what they held does not matter.
#[inline(always)]
pub(crate) fn sums(line: &[i32], window: usize, words: &mut [i32], sums: &mut [i32]) {
    let (a, b) = words[..2 * line.len()].split_at_mut(line.len());
    let (mut from, mut to) = (a, b);
    from.copy_from_slice(line);
    sums.fill(0);
    let (mut done, mut reach) = (0, 1);
    while done < window {
        if window & reach != 0 {
            for (sum, part) in sums.iter_mut().zip(&from[done..]) {
                *sum += part;
            }
            done += reach;
        }
        let len = from.len() - reach;
        for ((to, near), far) in to[..len].iter_mut().zip(&*from).zip(&from[reach..]) {
            *to = near + far;
        }
        reach *= 2;
        (from, to) = (to, from);
    }
}

/// `to[i]` = `of(near[i], far[i + step])`, or `near[i]` where there is no such number.
#[inline(always)]
fn combine<T: Copy>(near: &[T], far: &[T], to: &mut [T], step: usize, of: impl Fn(T, T) -> T) {
    let far = far.get(step..).unwrap_or_default();
    for ((to, near), far) in to.iter_mut().zip(near).zip(far) {
        *to = of(*near, *far);
    }
    to[far.len()..].copy_from_slice(&near[far.len()..]);
}
