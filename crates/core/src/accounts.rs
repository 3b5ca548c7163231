//! The books: every frame ends in exactly one place.
//!
//! `expected + repeated = received + lost` and `received = kept + dropped`, at the end of every
//! run. `expected` comes from the source's own frame numbers where it numbers them, so that a gap
//! shows; a frame without a number is expected because it came.
//!
//! A frame whose header cannot be believed has a number that nobody can read. It fills a later gap
//! of a module that it came within, so that it is not received and lost at once. A frame that a free-running
//! ring's device overwrote before it was read is lost the moment that the ring says so, by count; it fills a gap
//! likewise, so that it is not lost once more.
//!
//! Numbers come from headers and from shared memory, so every sum saturates: books that were led
//! astray do not balance, and nothing panics.

use hitgate_ring::{Reader, Seq, Source};

use crate::frame::Fault;
use crate::link::Record;
use crate::verdict::{Class, Verdict};

/// Modules whose frame numbers are followed; frames of others count as not numbered.
pub const NUMBERED_MODULES: usize = 64;
/// Runs of frames without a readable number that can still fill a gap: unidentified ones and lapped ones.
/// Older ones stay counted, and a gap that they would have filled counts as lost at the source.
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
    /// Frames that the device overwrote before they were read.
    pub lost_lapped: u64,
    /// Kept frames that the link refused, by class (hit, maybe, miss), and without a class.
    pub lost_link: [u64; 4],
    /// Judged frames by class (hit, maybe, miss).
    pub classes: [u64; 3],
    /// Received frames whose header could not be believed. All of them are kept.
    pub unidentified: u64,
    /// Frames that the device which was asked for did not score, because it was lost.
    pub fallen_back: u64,
    verdicts: [u64; Verdict::ALL.len()],
    last: heapless::Vec<Last, NUMBERED_MODULES>,
    /// Frames without a readable number that fill no gap yet.
    unplaced: heapless::Vec<Unplaced, UNPLACED_FRAMES>,
    /// Lapped frames between the last frame that was received and the next.
    just_lapped: u64,
}

/// Frames that are missing before one that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Those that the device overwrote.
    pub lapped: Option<Lapped>,
    /// Those that never came: their first number, and how many. Where frames without a readable number fill
    /// a part of the gap, which of its numbers they had is unknown.
    pub source: Option<(u64, u64)>,
}

/// Frames one after another that the device overwrote before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapped {
    /// The first one's number in the ring.
    pub seq: u64,
    /// How many.
    pub count: u64,
    /// Their module and the first one's number there, where only one module can have had them.
    pub named: Option<(u16, u64)>,
}

/// Frames without a readable number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unplaced {
    /// How many frames, of any module, had been received before them.
    after: u64,
    count: u64,
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
    /// There is one record for each received frame, in order, and each frame before it was received or
    /// lapped, so the books themselves say how far they go. The records before that tell the last number of
    /// each module, and the positions without a record which frames were lapped.
    pub fn left_in(reader: &Reader<'_>) -> Self {
        let mut books = Accounts::from_counters(reader.published());
        let record = |position| {
            let bytes = reader.record(Seq::from_position(position))?;
            Record::parse(&bytes)
        };
        let records = u64::from(reader.layout().records());
        let end = total(&[books.received, books.lost_lapped]);
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let before = end.saturating_sub(records)..end;
        let here = before.clone().filter_map(record).count() as u64;
        let mut received = books.received.saturating_sub(here);
        for position in before {
            match record(position) {
                Some(record) => {
                    received += 1;
                    books.place(&record, received);
                }
                None => books.place_later(received, 1),
            }
        }
        // Lapped frames that the reader before this one had published and not entered.
        books.lap(reader.lapped());
        let mut position = end.saturating_add(books.just_lapped);
        for _ in 0..records {
            let Some(record) = record(position) else {
                break;
            };
            books.enter(&record);
            position = position.saturating_add(1);
        }
        books
    }

    /// Enters frames that the device overwrote: `lapped` in all, as the ring counts them.
    pub fn lap(&mut self, lapped: u64) {
        let more = lapped.saturating_sub(self.lost_lapped);
        add(&mut self.lost_lapped, more);
        add(&mut self.expected, more);
        add(&mut self.just_lapped, more);
        self.place_later(self.received, more);
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
        total(&[self.expected, self.repeated])
            == total(&[self.received, self.lost_source, self.lost_lapped])
            && total(&[self.received]) == total(&self.verdicts)
            && self.unidentified <= self.of(Verdict::KeepFault)
    }

    /// Whether the books add up and have every frame that the ring's writer published. True of a
    /// ring that was read to its end.
    pub fn agree_with(&self, source: &Source) -> bool {
        let published = total(&[self.received, self.lost_lapped]);
        self.balance() && published == u128::from(source.produced)
    }

    /// Enters a frame by its record; returns what is missing before it.
    pub fn enter(&mut self, record: &Record) -> Missing {
        self.decide(record);
        add(&mut self.received, 1);
        let lapped = core::mem::take(&mut self.just_lapped);
        let mut missing = Missing {
            lapped: (lapped > 0).then(|| Lapped::before(record, lapped)),
            source: None,
        };
        match self.place(record, self.received) {
            Place::Unknown => {
                add(&mut self.expected, 1);
                add(&mut self.unidentified, u64::from(is_unidentified(record)));
            }
            Place::Repeated => add(&mut self.repeated, 1),
            Place::After { last, gap, filled } => {
                let lost = gap - filled;
                add(&mut self.expected, lost);
                add(&mut self.expected, 1);
                add(&mut self.lost_source, lost);
                let mut first = last + 1;
                if self.last.len() == 1
                    && gap >= lapped
                    && let Some(lapped) = &mut missing.lapped
                {
                    lapped.named = Some((record.module, first));
                    first += lapped.count;
                }
                missing.source = (lost > 0).then_some((first, lost));
            }
        }
        missing
    }

    /// Finds the frame's place among those of its module, and fills the gap before it.
    fn place(&mut self, record: &Record, received: u64) -> Place {
        let number = record.frame_number;
        // Where the module numbers its frames, one without a number has lost it.
        let numberless = number == 0 && self.last.iter().any(|last| last.module == record.module);
        if is_unidentified(record) || numberless {
            self.place_later(received.saturating_sub(1), 1);
            return Place::Unknown;
        }
        match self.follow(record, received) {
            None => Place::Unknown,
            Some(last) if number <= last.number => Place::Repeated,
            Some(last) => {
                let gap = number - last.number - 1;
                Place::After {
                    last: last.number,
                    gap,
                    filled: self.fill(gap, last.received),
                }
            }
        }
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

    /// Remembers `count` frames without a readable number, before which `after` had been received.
    fn place_later(&mut self, after: u64, count: u64) {
        if let Some(run) = self.unplaced.last_mut()
            && run.after == after
        {
            add(&mut run.count, count);
            return;
        }
        if count == 0 {
            return;
        }
        if self.unplaced.is_full() {
            self.unplaced.remove(0);
        }
        // There is room now.
        let _ = self.unplaced.push(Unplaced { after, count });
    }

    /// Takes up to `gap` frames without a readable number that came after frame `since`; returns how many.
    fn fill(&mut self, gap: u64, since: u64) -> u64 {
        let mut left = gap;
        self.unplaced.retain_mut(|run| {
            if run.after >= since {
                let filled = run.count.min(left);
                run.count -= filled;
                left -= filled;
            }
            run.count > 0
        });
        gap - left
    }

    fn sum_of(&self, counts: impl Fn(Verdict) -> bool) -> u64 {
        Verdict::ALL
            .into_iter()
            .filter(|verdict| counts(*verdict))
            .fold(0, |sum, verdict| sum.saturating_add(self.of(verdict)))
    }

    /// Enters frames that were not scored by the device that was asked for.
    pub fn fall_back(&mut self, frames: u64) {
        add(&mut self.fallen_back, frames);
    }

    /// Enters a kept frame that the link refused.
    pub fn refuse(&mut self, class: Option<Class>) {
        let place = class.map_or(3, |class| class as usize);
        add(&mut self.lost_link[place], 1);
    }

    /// The words for the ring's control page, where any process reads them: received, expected,
    /// repeated, lost (source), lost (link; hit, maybe, miss, unjudged), classes, verdicts 1 to 9,
    /// unidentified, verdict 11, lost (lapped), fallen back.
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
        words[22] = self.lost_lapped;
        words[23] = self.fallen_back;
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
            lost_lapped: words[22],
            fallen_back: words[23],
            ..Accounts::default()
        }
    }
}

/// Where a frame stands among those of its module.
enum Place {
    /// Its module or its number is not known, or it is the first.
    Unknown,
    /// Its number, or a later one, came before.
    Repeated,
    /// `gap` numbers lie between it and the module's last frame, and frames without a number fill some.
    After { last: u64, gap: u64, filled: u64 },
}

impl Lapped {
    /// The `count` frames before that of `record`.
    fn before(record: &Record, count: u64) -> Self {
        let position = Seq::new(record.seq).map_or(0, Seq::position);
        Lapped {
            seq: Seq::from_position(position.saturating_sub(count)).get(),
            count,
            named: None,
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
    use crate::link::{Identity, NO_MODULE, lost_cause};
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
        Record::new(&header, score.ok(), &decision, identity(), 0)
    }

    fn identity() -> Identity {
        Identity {
            model: 0,
            config: 0,
        }
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
        assert_eq!(books.enter(&named(0, 5)).source, None);
        assert_eq!(books.enter(&named(1, 1)).source, None);
        assert_eq!(books.enter(&named(0, 6)).source, None);
        assert_eq!(books.enter(&named(0, 9)).source, Some((7, 2)));
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
        assert_eq!(books.enter(&named(0, 1)).source, None);
        assert_eq!(books.enter(&broken()).source, None);
        assert_eq!(books.enter(&named(0, 3)).source, None);
        assert_eq!((books.received, books.expected), (3, 3));
        assert_eq!((books.lost_source, books.unidentified), (0, 1));
        assert!(books.balance());
    }

    #[test]
    fn so_does_a_frame_whose_number_alone_is_lost() {
        let mut books = Accounts::default();
        for frame in [named(0, 1), named(0, 0), named(0, 3)] {
            assert_eq!(books.enter(&frame).source, None);
        }
        assert_eq!((books.expected, books.lost_source), (3, 0));
        // A module that numbers nothing hides no gap of another.
        books.enter(&named(1, 0));
        assert_eq!(books.enter(&named(0, 5)).source, Some((4, 1)));
        assert!(books.balance());
    }

    #[test]
    fn what_unidentified_frames_do_not_fill_is_lost() {
        let mut books = Accounts::default();
        for frame in [named(0, 1), broken(), broken()] {
            books.enter(&frame);
        }
        assert_eq!(books.enter(&named(0, 6)).source, Some((2, 2)));
        assert_eq!((books.received, books.expected), (4, 6));
        assert_eq!(
            books.enter(&named(0, 8)).source,
            Some((7, 1)),
            "each fills once"
        );
        assert!(books.balance());
    }

    /// A module's gap lies between two of its frames: what came before the first is not in it.
    #[test]
    fn an_unidentified_frame_fills_no_gap_that_opened_after_it() {
        let mut books = Accounts::default();
        for frame in [named(0, 1), named(1, 1), broken(), named(1, 2)] {
            books.enter(&frame);
        }
        assert_eq!(books.enter(&named(1, 4)).source, Some((3, 1)));
        assert_eq!(books.enter(&named(0, 3)).source, None);
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
        assert_eq!(books.enter(&named(0, many + 2)).source, Some((2, 3)));
        assert_eq!((books.received, books.unidentified), (many + 2, many));
        assert!(books.balance());
    }

    /// Every stream of up to seven frames of one source, each of which comes, is lost on the way,
    /// comes with a broken header, or is lapped; the first and the last come whole.
    #[test]
    fn the_books_of_every_short_stream_are_true() {
        for stream in 0..4u64.pow(5) {
            let fates = core::array::from_fn::<_, 7, _>(|i| match i {
                0 | 6 => 0,
                _ => stream / 4u64.pow(i as u32 - 1) % 4,
            });
            let of = |fate| fates.iter().filter(|it| **it == fate).count() as u64;
            let mut books = Accounts::default();
            let (mut told, mut ring) = ([0, 0], 0);
            for (fate, number) in fates.into_iter().zip(1..) {
                ring += u64::from(fate != 2);
                let frame = match fate {
                    0 => named(4, number),
                    1 => broken(),
                    3 => {
                        books.lap(books.lost_lapped + 1);
                        continue;
                    }
                    _ => continue,
                };
                let missing = books.enter(&Record { seq: ring, ..frame });
                told[0] += missing.source.map_or(0, |(_, count)| count);
                if let Some(lapped) = missing.lapped {
                    assert_eq!(lapped.seq, ring - lapped.count, "{fates:?}");
                    assert_eq!(lapped.named.is_some(), fate == 0, "{fates:?}");
                    told[1] += lapped.count;
                }
            }
            let received = 7 - of(2) - of(3);
            assert_eq!((books.expected, books.received), (7, received), "{fates:?}");
            assert_eq!(
                (books.lost_source, books.lost_lapped),
                (of(2), of(3)),
                "{fates:?}"
            );
            assert_eq!(told, [of(2), of(3)], "{fates:?}");
            assert!(books.balance());
        }
    }

    /// As above for two modules in turn, each frame of which comes, is lost on the way or is lapped.
    #[test]
    fn lapped_frames_of_several_modules_are_lost_once() {
        for stream in 0..3u64.pow(6) {
            let fates = core::array::from_fn::<_, 10, _>(|i| match i {
                0 | 1 | 8 | 9 => 0,
                _ => stream / 3u64.pow(i as u32 - 2) % 3,
            });
            let of = |fate| fates.iter().filter(|it| **it == fate).count() as u64;
            let mut books = Accounts::default();
            let mut told = 0;
            for (fate, i) in fates.into_iter().zip(0..) {
                match fate {
                    0 => {
                        let missing = books.enter(&named(i as u16 % 2, 1 + i / 2));
                        told += missing.lapped.map_or(0, |lapped| lapped.count);
                    }
                    1 => {}
                    _ => books.lap(books.lost_lapped + 1),
                }
            }
            assert_eq!(
                (books.lost_source, books.lost_lapped),
                (of(1), of(2)),
                "{fates:?}"
            );
            assert_eq!((books.expected, told), (10, of(2)), "{fates:?}");
            assert!(books.balance());
        }
    }

    #[test]
    fn lapped_frames_have_their_numbers_where_one_module_had_them_all() {
        let mut books = Accounts::default();
        let at = |seq, record| Record { seq, ..record };
        books.enter(&at(1, named(3, 70)));
        books.lap(4);
        books.lap(5);
        // Two more never reached the ring.
        let missing = books.enter(&at(7, named(3, 78)));
        let lapped = Lapped {
            seq: 2,
            count: 5,
            named: Some((3, 71)),
        };
        assert_eq!(missing.lapped, Some(lapped));
        assert_eq!(missing.source, Some((76, 2)));
        let record = Record::lapped(&lapped, identity());
        assert_eq!((record.seq, record.module, record.frame_number), (2, 3, 71));
        assert_eq!((record.pulse_key, record.spots), (5, lost_cause::LAPPED));

        books.lap(6);
        let missing = books.enter(&at(9, named(4, 1)));
        let unnamed = Lapped {
            seq: 8,
            count: 1,
            named: None,
        };
        assert_eq!((missing.lapped, missing.source), (Some(unnamed), None));
        let record = Record::lapped(&unnamed, identity());
        assert_eq!((record.module, record.frame_number), (NO_MODULE, 0));
        assert_eq!((books.expected, books.received), (11, 3));
        assert!(books.balance());
    }

    #[test]
    fn lapped_frames_of_a_source_that_does_not_number_are_expected_and_lost() {
        let mut books = Accounts::default();
        for lapped in [0, 3, 3, 10] {
            books.lap(lapped);
            books.enter(&named(0, 0));
        }
        assert_eq!((books.expected, books.lost_lapped), (14, 10));
        let source = Source {
            produced: 14,
            ..Source::default()
        };
        assert!(books.agree_with(&source));
    }

    #[test]
    fn numbers_beyond_counting_show_as_a_broken_balance() {
        let mut books = Accounts::default();
        books.enter(&named(0, 1));
        assert_eq!(
            books.enter(&named(0, u64::MAX)).source,
            Some((2, u64::MAX - 2))
        );
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
        books.lap(3);
        books.verdicts = core::array::from_fn(|i| i as u64);
        let mut again = Accounts::from_counters(&books.counters());
        again.last = books.last.clone();
        again.unplaced = books.unplaced.clone();
        again.just_lapped = books.just_lapped;
        assert_eq!(again, books);
    }
}
