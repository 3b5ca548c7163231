//! The books: every frame ends in exactly one place.
//!
//! `expected + repeated = received + lost` and `received = kept + dropped`, at the end of every
//! run. `expected` comes from the source's own frame numbers where it numbers them, so that a gap
//! shows; a frame without a number is expected because it came.

use crate::frame::FrameHeader;
use crate::link::Record;
use crate::verdict::{Class, Verdict};

/// Modules whose frame numbers are followed; frames of others count as not numbered.
pub const NUMBERED_MODULES: usize = 64;
/// Words of [`Accounts::counters`].
pub const COUNTERS: usize = hitgate_ring::PATH_COUNTERS;

/// Frames by where they ended. Only ever grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Frames with a committed record.
    pub received: u64,
    /// Frames that the source's numbers say there were.
    pub expected: u64,
    /// Frames whose number had come before, or that came out of order.
    pub repeated: u64,
    /// Frames that the source numbered and that never came.
    pub lost_source: u64,
    /// Kept frames that the link refused, by class (hit, maybe, miss), and without a class.
    pub lost_link: [u64; 4],
    /// Judged frames by class (hit, maybe, miss).
    pub classes: [u64; 3],
    verdicts: [u64; Verdict::ALL.len()],
    numbers: heapless::Vec<(u16, u64), NUMBERED_MODULES>,
}

impl Accounts {
    /// Frames with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        let place = Verdict::ALL.iter().position(|v| *v == verdict);
        place.map_or(0, |place| self.verdicts[place])
    }

    /// Frames that were kept, for whatever reason.
    pub fn kept(&self) -> u64 {
        Verdict::ALL
            .into_iter()
            .filter(|v| v.keeps())
            .map(|v| self.of(v))
            .sum()
    }

    /// Frames that were dropped.
    pub fn dropped(&self) -> u64 {
        Verdict::ALL
            .into_iter()
            .filter(|v| !v.keeps())
            .map(|v| self.of(v))
            .sum()
    }

    /// Frames that the link refused. They are among the kept.
    pub fn refused(&self) -> u64 {
        self.lost_link.iter().sum()
    }

    /// Whether the books add up.
    pub fn balance(&self) -> bool {
        self.expected + self.repeated == self.received + self.lost_source
            && self.received == self.kept() + self.dropped()
    }

    /// Enters a received frame; returns the range of numbers that is missing before it, as the
    /// first number and the count.
    pub fn receive(&mut self, header: &FrameHeader) -> Option<(u64, u64)> {
        self.received += 1;
        let number = header.frame_number;
        if number == 0 {
            self.expected += 1;
            return None;
        }
        match self
            .numbers
            .iter_mut()
            .find(|(module, _)| *module == header.module_id)
        {
            None => {
                self.expected += 1;
                // A table that is full leaves the module unnumbered, which loses no frame.
                let _ = self.numbers.push((header.module_id, number));
                None
            }
            Some((_, last)) if number > *last => {
                let (first, missing) = (*last + 1, number - *last - 1);
                *last = number;
                self.expected += missing + 1;
                self.lost_source += missing;
                (missing > 0).then_some((first, missing))
            }
            Some(_) => {
                self.repeated += 1;
                None
            }
        }
    }

    /// Enters the decision.
    pub fn decide(&mut self, record: &Record) {
        let verdict = record.verdict();
        if let Some(place) = Verdict::ALL.iter().position(|v| *v == verdict) {
            self.verdicts[place] += 1;
        }
        if let Some(class) = record.class() {
            self.classes[class as usize] += 1;
        }
    }

    /// Enters a kept frame that the link refused.
    pub fn refuse(&mut self, class: Option<Class>) {
        self.lost_link[class.map_or(3, |class| class as usize)] += 1;
    }

    /// The words for the ring's control page, where any process reads them: received, expected,
    /// repeated, lost (source), lost (link; hit, maybe, miss, unjudged), classes, verdicts 1 to 9.
    pub fn counters(&self) -> [u64; COUNTERS] {
        let mut words = [0; COUNTERS];
        words[..4].copy_from_slice(&[
            self.received,
            self.expected,
            self.repeated,
            self.lost_source,
        ]);
        words[4..8].copy_from_slice(&self.lost_link);
        words[8..11].copy_from_slice(&self.classes);
        words[11..20].copy_from_slice(&self.verdicts);
        words
    }

    /// The books that [`Accounts::counters`] showed, without the last frame numbers.
    pub fn from_counters(words: &[u64; COUNTERS]) -> Self {
        let [received, expected, repeated, lost_source, ..] = *words;
        Accounts {
            received,
            expected,
            repeated,
            lost_source,
            lost_link: core::array::from_fn(|i| words[4 + i]),
            classes: core::array::from_fn(|i| words[8 + i]),
            verdicts: core::array::from_fn(|i| words[11 + i]),
            numbers: heapless::Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelType;

    fn header(module_id: u16, frame_number: u64) -> FrameHeader {
        FrameHeader {
            module_id,
            frame_number,
            ..FrameHeader::new(1, 1, PixelType::U8)
        }
    }

    #[test]
    fn a_gap_is_lost_and_named() {
        let mut books = Accounts::default();
        assert_eq!(books.receive(&header(0, 5)), None);
        assert_eq!(books.receive(&header(1, 1)), None);
        assert_eq!(books.receive(&header(0, 6)), None);
        assert_eq!(books.receive(&header(0, 9)), Some((7, 2)));
        assert_eq!(
            (books.expected, books.received, books.lost_source),
            (6, 4, 2)
        );
    }

    #[test]
    fn a_repeated_number_does_not_hide_a_gap() {
        let mut books = Accounts::default();
        for number in [1, 2, 2, 5, 3] {
            books.receive(&header(0, number));
        }
        assert_eq!((books.expected, books.repeated), (5, 2));
        assert_eq!((books.received, books.lost_source), (5, 2));
    }

    #[test]
    fn counters_hold_the_whole_books() {
        let mut books = Accounts::default();
        books.receive(&header(0, 1));
        books.refuse(None);
        books.refuse(Some(Class::Maybe));
        books.verdicts = core::array::from_fn(|i| i as u64);
        let mut again = Accounts::from_counters(&books.counters());
        again.numbers = books.numbers.clone();
        assert_eq!(again, books);
    }
}
