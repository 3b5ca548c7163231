//! The books: every frame ends in exactly one place.
//!
//! `expected + repeated = received + lost` and `received = kept + dropped`, at the end of every
//! run. `expected` comes from the source's own frame numbers where it numbers them, so that a gap
//! shows; a frame without a number is expected because it came.
//!
//! A frame whose header cannot be believed has a number that nobody can read. It fills a later gap
//! of a module that it came within, so that it is not received and lost at once.
//!
//! Numbers come from headers and from shared memory, so every sum saturates: books that were led
//! astray do not balance, and nothing panics.

use hitgate_ring::{Reader, Seq, Source};

use crate::frame::Fault;
use crate::link::Record;
use crate::verdict::{Class, Verdict};

/// Modules whose frame numbers are followed; frames of others count as not numbered.
pub const NUMBERED_MODULES: usize = 64;
/// Unidentified frames that can still fill a gap. Older ones stay received, and a gap that they
/// would have filled counts as lost.
pub const UNPLACED_FRAMES: usize = 64;
/// Words of [`Accounts::counters`].
pub const COUNTERS: usize = hitgate_ring::PATH_COUNTERS;

/// Where [`Accounts::counters`] has [`Verdict::ALL`].
const VERDICT_WORDS: [usize; Verdict::ALL.len()] = [11, 12, 13, 14, 15, 16, 17, 18, 19, 21];

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
    /// Received frames whose header could not be believed. All of them are kept.
    pub unidentified: u64,
    verdicts: [u64; Verdict::ALL.len()],
    last: heapless::Vec<Last, NUMBERED_MODULES>,
    /// Unidentified frames that fill no gap yet, by how many frames had been received with them.
    unplaced: heapless::Vec<u64, UNPLACED_FRAMES>,
}

/// The last frame of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    module: u16,
    number: u64,
    /// How many frames, of any module, had been received with it.
    received: u64,
}

impl Accounts {
    /// The books as of the last record in a ring, which an earlier reader may have left behind
    /// without publishing them.
    ///
    /// There is one record for each received frame, in order, so the books themselves say how far
    /// they go. The records before that tell the last number of each module.
    pub fn left_in(reader: &Reader<'_>) -> Self {
        let mut books = Accounts::from_counters(reader.published());
        let record = |position| {
            let bytes = reader.record(Seq::from_position(position))?;
            Record::parse(&bytes)
        };
        let records = u64::from(reader.layout().records());
        for position in books.received.saturating_sub(records)..books.received {
            if let Some(record) = record(position) {
                books.follow(&record, position + 1);
            }
        }
        for _ in 0..records {
            let Some(record) = record(books.received) else {
                break;
            };
            books.enter(&record);
        }
        books
    }

    /// Frames with this verdict.
    pub fn of(&self, verdict: Verdict) -> u64 {
        let place = Verdict::ALL.iter().position(|v| *v == verdict);
        place.map_or(0, |place| self.verdicts[place])
    }

    /// Frames that were kept, for whatever reason.
    pub fn kept(&self) -> u64 {
        self.sum_of(Verdict::keeps)
    }

    /// Frames that were dropped.
    pub fn dropped(&self) -> u64 {
        self.sum_of(|verdict| !verdict.keeps())
    }

    /// Received frames without a class.
    pub fn unjudged(&self) -> u64 {
        self.classes
            .iter()
            .fold(self.received, |rest, judged| rest.saturating_sub(*judged))
    }

    /// Frames that the link refused. They are among the kept.
    pub fn refused(&self) -> u64 {
        self.lost_link
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Whether the books add up: both equations hold, and no unidentified frame was dropped.
    pub fn balance(&self) -> bool {
        total(&[self.expected, self.repeated]) == total(&[self.received, self.lost_source])
            && total(&[self.received]) == total(&self.verdicts)
            && self.unidentified <= self.of(Verdict::KeepFault)
    }

    /// Whether the books add up and have every frame that the ring's writer published. True of a
    /// ring that was read to its end.
    pub fn agree_with(&self, source: &Source) -> bool {
        self.balance() && self.received == source.produced
    }

    /// Enters a frame by its record; returns the range of numbers that is missing before it, as
    /// the first number of the gap and how many frames never came. Where unidentified frames fill
    /// a part of the gap, which of its numbers they had is unknown.
    pub fn enter(&mut self, record: &Record) -> Option<(u64, u64)> {
        self.decide(record);
        add(&mut self.received, 1);
        if is_unidentified(record) {
            add(&mut self.expected, 1);
            self.place_later();
            return None;
        }
        let number = record.frame_number;
        let Some(last) = self.follow(record, self.received) else {
            add(&mut self.expected, 1);
            return None;
        };
        if number <= last.number {
            add(&mut self.repeated, 1);
            return None;
        }
        let gap = number - last.number - 1;
        let missing = gap - self.fill(gap, last.received);
        add(&mut self.expected, missing);
        add(&mut self.expected, 1);
        add(&mut self.lost_source, missing);
        (missing > 0).then_some((last.number + 1, missing))
    }

    /// Makes the frame its module's last, unless its number is lower; returns the one before it.
    fn follow(&mut self, record: &Record, received: u64) -> Option<Last> {
        let new = Last {
            module: record.module,
            number: record.frame_number,
            received,
        };
        if new.number == 0 || is_unidentified(record) {
            return None;
        }
        let Some(last) = self.last.iter_mut().find(|l| l.module == new.module) else {
            // A table that is full leaves the module unnumbered, which loses no frame.
            let _ = self.last.push(new);
            return None;
        };
        let before = *last;
        if new.number > before.number {
            *last = new;
        }
        Some(before)
    }

    fn decide(&mut self, record: &Record) {
        let verdict = record.verdict();
        if let Some(place) = Verdict::ALL.iter().position(|v| *v == verdict) {
            add(&mut self.verdicts[place], 1);
        }
        if let Some(class) = record.class() {
            add(&mut self.classes[class as usize], 1);
        }
    }

    /// Remembers the unidentified frame that was received last.
    fn place_later(&mut self) {
        add(&mut self.unidentified, 1);
        if self.unplaced.is_full() {
            self.unplaced.remove(0);
        }
        // There is room now.
        let _ = self.unplaced.push(self.received);
    }

    /// Takes up to `gap` unidentified frames that came after frame `since`; returns how many.
    fn fill(&mut self, gap: u64, since: u64) -> u64 {
        let mut filled = 0;
        self.unplaced.retain(|&received| {
            let fills = received > since && filled < gap;
            filled += u64::from(fills);
            !fills
        });
        filled
    }

    fn sum_of(&self, counts: impl Fn(Verdict) -> bool) -> u64 {
        Verdict::ALL
            .into_iter()
            .filter(|verdict| counts(*verdict))
            .fold(0, |sum, verdict| sum.saturating_add(self.of(verdict)))
    }

    /// Enters a kept frame that the link refused.
    pub fn refuse(&mut self, class: Option<Class>) {
        let place = class.map_or(3, |class| class as usize);
        add(&mut self.lost_link[place], 1);
    }

    /// The words for the ring's control page, where any process reads them: received, expected,
    /// repeated, lost (source), lost (link; hit, maybe, miss, unjudged), classes, verdicts 1 to 9,
    /// unidentified, verdict 11.
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
        for (word, count) in VERDICT_WORDS.into_iter().zip(self.verdicts) {
            words[word] = count;
        }
        words[20] = self.unidentified;
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
            verdicts: VERDICT_WORDS.map(|word| words[word]),
            unidentified: words[20],
            ..Accounts::default()
        }
    }
}

fn is_unidentified(record: &Record) -> bool {
    record.reasons & Fault::UNIDENTIFIED != 0
}

/// A counter stops at its end: it never starts again from 0.
fn add(counter: &mut u64, n: u64) {
    *counter = counter.saturating_add(n);
}

fn total(counters: &[u64]) -> u128 {
    counters.iter().copied().map(u128::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameHeader, PixelType};
    use crate::link::Identity;
    use crate::verdict::{Policy, Sampling};

    /// The record of a frame that was kept for a fault, or for its threshold.
    fn record(module_id: u16, frame_number: u64, fault: Option<Fault>) -> Record {
        let header = FrameHeader {
            module_id,
            frame_number,
            ..FrameHeader::new(1, 1, PixelType::U8)
        };
        let policy = Policy {
            threshold: 0,
            sampling: Sampling { seed: 0, one_in: 0 },
            deadline_ns: None,
        };
        let score = fault.map_or(Ok(crate::verdict::Score::from_logits([0; 3], 1.0)), Err);
        let decision = policy.decide(&header, score, None, 0, 0);
        let identity = Identity {
            model: 0,
            config: 0,
        };
        Record::new(&header, score.ok(), &decision, identity, 0)
    }

    fn named(module: u16, number: u64) -> Record {
        record(module, number, None)
    }

    fn broken() -> Record {
        record(0, 0, Some(Fault::HeaderCrc))
    }

    #[test]
    fn a_gap_is_lost_and_named() {
        let mut books = Accounts::default();
        assert_eq!(books.enter(&named(0, 5)), None);
        assert_eq!(books.enter(&named(1, 1)), None);
        assert_eq!(books.enter(&named(0, 6)), None);
        assert_eq!(books.enter(&named(0, 9)), Some((7, 2)));
        assert_eq!(
            (books.expected, books.received, books.lost_source),
            (6, 4, 2)
        );
        assert!(books.balance());
    }

    #[test]
    fn a_repeated_number_does_not_hide_a_gap() {
        let mut books = Accounts::default();
        for number in [1, 2, 2, 5, 3] {
            books.enter(&named(0, number));
        }
        assert_eq!((books.expected, books.repeated), (5, 2));
        assert_eq!((books.received, books.lost_source), (5, 2));
    }

    #[test]
    fn an_unidentified_frame_fills_the_gap_that_it_left() {
        let mut books = Accounts::default();
        assert_eq!(books.enter(&named(0, 1)), None);
        assert_eq!(books.enter(&broken()), None);
        assert_eq!(books.enter(&named(0, 3)), None);
        assert_eq!((books.received, books.expected), (3, 3));
        assert_eq!((books.lost_source, books.unidentified), (0, 1));
        assert!(books.balance());
    }

    #[test]
    fn what_unidentified_frames_do_not_fill_is_lost() {
        let mut books = Accounts::default();
        for frame in [named(0, 1), broken(), broken()] {
            books.enter(&frame);
        }
        assert_eq!(books.enter(&named(0, 6)), Some((2, 2)));
        assert_eq!((books.received, books.expected), (4, 6));
        assert_eq!(books.enter(&named(0, 8)), Some((7, 1)), "each fills once");
        assert!(books.balance());
    }

    /// A module's gap lies between two of its frames: what came before the first is not in it.
    #[test]
    fn an_unidentified_frame_fills_no_gap_that_opened_after_it() {
        let mut books = Accounts::default();
        for frame in [named(0, 1), named(1, 1), broken(), named(1, 2)] {
            books.enter(&frame);
        }
        assert_eq!(books.enter(&named(1, 4)), Some((3, 1)));
        assert_eq!(books.enter(&named(0, 3)), None);
        assert_eq!((books.received, books.expected), (6, 7));
        assert!(books.balance());
    }

    #[test]
    fn more_unidentified_frames_than_can_be_placed_are_still_received() {
        let many = UNPLACED_FRAMES as u64 + 3;
        let mut books = Accounts::default();
        books.enter(&named(0, 1));
        for _ in 0..many {
            books.enter(&broken());
        }
        assert_eq!(books.enter(&named(0, many + 2)), Some((2, 3)));
        assert_eq!((books.received, books.unidentified), (many + 2, many));
        assert!(books.balance());
    }

    /// Every stream of up to seven frames of one source, each of which comes, is lost on the way,
    /// or comes with a broken header; the first and the last come whole.
    #[test]
    fn the_books_of_every_short_stream_are_true() {
        for stream in 0..3u64.pow(5) {
            let fates = core::array::from_fn::<_, 7, _>(|i| match i {
                0 | 6 => 0,
                _ => stream / 3u64.pow(i as u32 - 1) % 3,
            });
            let mut books = Accounts::default();
            let mut told = 0;
            for (fate, number) in fates.into_iter().zip(1..) {
                let frame = match fate {
                    0 => named(4, number),
                    1 => broken(),
                    _ => continue,
                };
                told += books.enter(&frame).map_or(0, |(_, count)| count);
            }
            let lost = fates.iter().filter(|fate| **fate == 2).count() as u64;
            assert_eq!((books.expected, books.received), (7, 7 - lost), "{fates:?}");
            assert_eq!((books.lost_source, told), (lost, lost), "{fates:?}");
            assert!(books.balance());
        }
    }

    #[test]
    fn numbers_beyond_counting_show_as_a_broken_balance() {
        let mut books = Accounts::default();
        books.enter(&named(0, 1));
        assert_eq!(books.enter(&named(0, u64::MAX)), Some((2, u64::MAX - 2)));
        assert!(books.balance(), "so many are expected");
        books.enter(&named(1, 1));
        assert_eq!(books.expected, u64::MAX);
        assert!(!books.balance());
        books.enter(&named(1, u64::MAX));
        books.enter(&broken());
        assert!(!books.balance());
    }

    #[test]
    fn no_words_make_the_books_panic() {
        let mut books = Accounts::from_counters(&[u64::MAX; COUNTERS]);
        assert_eq!(
            (books.kept(), books.dropped(), books.refused()),
            (u64::MAX, u64::MAX, u64::MAX)
        );
        assert_eq!(books.unjudged(), 0);
        for frame in [named(0, 1), named(0, 9), named(0, 2), broken()] {
            books.enter(&frame);
        }
        books.refuse(None);
        assert!(!books.balance());
    }

    #[test]
    fn a_dropped_unidentified_frame_is_noticed() {
        let mut books = Accounts::default();
        let mut frame = broken();
        frame.verdict = Verdict::DropVeto as u8;
        books.enter(&frame);
        assert_eq!(books.received, books.kept() + books.dropped());
        assert!(!books.balance());
    }

    #[test]
    fn a_published_frame_that_is_not_in_the_books_is_noticed() {
        let mut books = Accounts::default();
        books.enter(&named(0, 1));
        let source = |produced| Source {
            produced,
            ..Source::default()
        };
        assert!(books.balance() && books.agree_with(&source(1)));
        assert!(!books.agree_with(&source(2)));
    }

    #[test]
    fn counters_hold_the_whole_books() {
        let mut books = Accounts::default();
        books.enter(&named(0, 1));
        books.enter(&broken());
        books.refuse(None);
        books.refuse(Some(Class::Maybe));
        books.verdicts = core::array::from_fn(|i| i as u64);
        let mut again = Accounts::from_counters(&books.counters());
        again.last = books.last.clone();
        again.unplaced = books.unplaced.clone();
        assert_eq!(again, books);
    }
}
