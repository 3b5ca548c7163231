//! A short counter on a wire → 64 bits.

/// Continues a counter of `BITS` bits: each value becomes the number nearest to the highest so far that
/// ends in its bits.
///
/// Up to half of the counter's range may be lost between two frames. A source that starts again from 0
/// looks like an older frame, or, after more than half of the range, like a gap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Widened<const BITS: u32> {
    highest: Option<u64>,
}

impl<const BITS: u32> Widened<BITS> {
    const RANGE: u64 = 1 << BITS;

    /// A counter of which nothing was seen.
    pub const fn new() -> Self {
        const { assert!(BITS > 0 && BITS < 64) }
        Widened { highest: None }
    }

    /// The number that `counter` stands for; bits beyond the counter's are ignored.
    pub fn widen(&mut self, counter: u64) -> u64 {
        let counter = counter % Self::RANGE;
        let Some(highest) = self.highest else {
            self.highest = Some(counter);
            return counter;
        };
        let ahead = counter.wrapping_sub(highest) % Self::RANGE;
        let behind = highest.checked_sub(Self::RANGE - ahead);
        let number = match behind {
            Some(behind) if ahead >= Self::RANGE / 2 => behind,
            _ => highest.saturating_add(ahead),
        };
        self.highest = Some(number.max(highest));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_on_over_its_end() {
        let mut numbers = Widened::<16>::new();
        let seen = [65_530, 65_535, 0, 1, 32_767, 65_534, 65_533, 3];
        let wide = seen.map(|counter| numbers.widen(counter));
        assert_eq!(
            wide,
            [
                65_530, 65_535, 65_536, 65_537, 98_303, 131_070, 131_069, 131_075
            ]
        );
    }

    #[test]
    fn what_is_older_than_the_first_is_not_below_zero() {
        let mut numbers = Widened::<24>::new();
        assert_eq!(numbers.widen(2), 2);
        assert_eq!(numbers.widen(1), 1);
        assert_eq!(numbers.widen(0xFF_FFFF), 0xFF_FFFF);
        let mut numbers = Widened::<24>::new();
        assert_eq!(numbers.widen(u64::MAX), 0xFF_FFFF);
    }
}
