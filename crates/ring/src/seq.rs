//! Sequence numbers: how one lap of the ring is told from another.

/// The number of a frame in a ring: starts at 1, and its low half is never 0.
///
/// A slot whose low half reads 0 is being written, so numbers with that half are skipped. Position
/// (how many frames came before) and number are therefore not a constant apart:
///
/// ```
/// use hitgate_ring::Seq;
/// assert_eq!(Seq::FIRST.position(), 0);
/// let last_of_the_first_run = Seq::from_position(u64::from(u32::MAX) - 1);
/// assert_eq!(last_of_the_first_run.get(), 0xffff_ffff);
/// assert_eq!(last_of_the_first_run.next().get(), 0x1_0000_0001);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

/// Numbers that share one high half.
const RUN: u64 = u32::MAX as u64;

impl Seq {
    /// The first frame's number.
    pub const FIRST: Seq = Seq(1);

    /// The largest position that a ring may hold: far beyond any run, far below overflow.
    pub const MAX_POSITION: u64 = 1 << 62;

    /// The number `raw`; `None` if its low half is 0, which is no frame's number.
    pub const fn new(raw: u64) -> Option<Seq> {
        if raw as u32 == 0 {
            None
        } else {
            Some(Seq(raw))
        }
    }

    /// The number of the frame that has `position` frames before it. Positions above
    /// [`Seq::MAX_POSITION`] count as that.
    pub const fn from_position(position: u64) -> Seq {
        let position = if position > Self::MAX_POSITION {
            Self::MAX_POSITION
        } else {
            position
        };
        Seq(((position / RUN) << 32) | (position % RUN + 1))
    }

    /// Frames before this one: `number - high half - 1`, since every full run of the low half
    /// skipped one number.
    pub const fn position(self) -> u64 {
        self.0 - (self.0 >> 32) - 1
    }

    /// The number of the frame after this one.
    pub const fn next(self) -> Seq {
        Seq::from_position(self.position() + 1)
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The half that is stored last.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The half that is stored first.
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl core::fmt::Display for Seq {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_consecutive_across_every_skipped_number() {
        for run in 0..4u64 {
            let around = run * RUN;
            for position in around.saturating_sub(3)..around + 3 {
                let seq = Seq::from_position(position);
                assert_eq!(seq.position(), position);
                assert_ne!(seq.low(), 0);
                assert_eq!(seq.next().position(), position + 1);
                assert!(seq.next() > seq);
            }
        }
    }

    #[test]
    fn the_number_after_a_full_low_half_is_the_next_but_one() {
        assert_eq!(Seq(0xffff_ffff).next(), Seq(0x1_0000_0001));
        assert_eq!(Seq(0x7_ffff_ffff).next(), Seq(0x8_0000_0001));
    }

    #[test]
    fn a_low_half_of_zero_is_no_number() {
        assert_eq!(Seq::new(0), None);
        assert_eq!(Seq::new(5 << 32), None);
        assert_eq!(Seq::new(1), Some(Seq::FIRST));
    }

    #[test]
    fn positions_beyond_the_limit_do_not_overflow() {
        assert_eq!(
            Seq::from_position(u64::MAX),
            Seq::from_position(Seq::MAX_POSITION)
        );
        assert_eq!(
            Seq::from_position(Seq::MAX_POSITION).position(),
            Seq::MAX_POSITION
        );
    }
}
