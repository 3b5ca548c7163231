//! Sums over a window that slides along a line, a register at a time. All that it reaches over stays in
//! registers: numbers that are read again at another place just after they were written are waited for.

use crate::Simd;
use crate::simd::WIDEST;

/// A register of zeros.
#[inline(always)]
pub(crate) fn nothing<S: Simd>(s: S) -> S::I32 {
    s.bias(&[0; WIDEST])
}

/// The sum of so many neighbours about each number of a line.
pub(crate) trait Window<S: Simd> {
    /// Neighbours about a number, itself among them: an odd number.
    const LEN: usize;
    /// By how many registers the sums about a register come later than it does.
    const LATE: usize;
    /// At the start of a line, before which there is nothing.
    fn new(s: S) -> Self;
    /// Takes the next register of the line; gives the sums about the numbers of the one
    /// [`LATE`](Self::LATE) registers before it.
    fn slide(&mut self, s: S, next: S::I32) -> S::I32;
}

/// Seven: one and threes on both sides.
pub(crate) struct Seven<S: Simd> {
    /// The two registers before the next one, and the threes about those before the latter.
    line: [S::I32; 2],
    threes: [S::I32; 2],
}

impl<S: Simd> Window<S> for Seven<S> {
    const LEN: usize = 7;
    const LATE: usize = 2;

    #[inline(always)]
    fn new(s: S) -> Self {
        let nothing = nothing(s);
        Seven {
            line: [nothing; 2],
            threes: [nothing; 2],
        }
    }

    #[inline(always)]
    fn slide(&mut self, s: S, next: S::I32) -> S::I32 {
        let [before, at] = self.line;
        let beside = s.add(s.splice(before, at, S::N - 1), s.splice(at, next, 1));
        let threes = s.add(at, beside);
        let [left, middle] = self.threes;
        let both = s.add(
            s.splice(left, middle, S::N - 2),
            s.splice(middle, threes, 2),
        );
        (self.line, self.threes) = ([at, next], [middle, threes]);
        s.add(before, both)
    }
}

/// Seventeen: one and eights on both sides.
pub(crate) struct Seventeen<S: Simd> {
    /// The four registers before the next one; the twos, fours and eights that start at their numbers and before.
    line: [S::I32; 4],
    twos: S::I32,
    fours: S::I32,
    eights: [S::I32; 2],
}

impl<S: Simd> Window<S> for Seventeen<S> {
    const LEN: usize = 17;
    const LATE: usize = 4;

    #[inline(always)]
    fn new(s: S) -> Self {
        let nothing = nothing(s);
        Seventeen {
            line: [nothing; 4],
            twos: nothing,
            fours: nothing,
            eights: [nothing; 2],
        }
    }

    #[inline(always)]
    fn slide(&mut self, s: S, next: S::I32) -> S::I32 {
        let [late, third, second, first] = self.line;
        let twos = s.add(first, s.splice(first, next, 1));
        let fours = s.add(self.twos, s.splice(self.twos, twos, 2));
        let eights = s.add(self.fours, s.splice(self.fours, fours, 4));
        let [left, at] = self.eights;
        let both = s.add(s.splice(left, at, S::N - 8), s.splice(at, eights, 1));
        self.line = [third, second, first, next];
        (self.twos, self.fours, self.eights) = (twos, fours, [at, eights]);
        s.add(late, both)
    }
}

#[cfg(test)]
mod tests {
    use super::{Seven, Seventeen, Window, nothing};
    use crate::simd::WIDEST;
    use crate::{Level, Op, Simd};

    /// Slides both windows along lines of up to five registers.
    struct Slide;

    impl Op for Slide {
        type Output = ();

        fn run<S: Simd>(self, s: S) {
            let mut line = [0; 5 * WIDEST];
            for (i, number) in line.iter_mut().enumerate() {
                *number = (i * i % 101) as i32 - 50;
            }
            for registers in 0..=5 {
                slide::<S, Seven<S>>(s, &line[..registers * S::N]);
                slide::<S, Seventeen<S>>(s, &line[..registers * S::N]);
            }
        }
    }

    fn slide<S: Simd, W: Window<S>>(s: S, line: &[i32]) {
        let mut window = W::new(s);
        let late = core::iter::repeat_n(None, W::LATE);
        for (step, next) in line.chunks(S::N).map(Some).chain(late).enumerate() {
            let next = next.map_or(nothing(s), |numbers| s.bias(numbers));
            let found = window.slide(s, next);
            let Some(register) = step.checked_sub(W::LATE) else {
                continue;
            };
            let mut sums = [0; WIDEST];
            s.store(found, &mut sums);
            for (i, sum) in (register * S::N..).zip(&sums[..S::N]) {
                let reach = W::LEN / 2;
                let about = &line[i.saturating_sub(reach)..line.len().min(i + reach + 1)];
                let expected: i32 = about.iter().sum();
                assert_eq!(*sum, expected, "{}: {} about {i}", S::NAME, W::LEN);
            }
        }
    }

    #[test]
    fn sums_on_every_level() {
        for level in Level::all_available() {
            level.run(Slide);
        }
    }
}
