//! What the path makes of a score: every verdict, by way of the ring, with a backend that says
//! what the test wants and a clock that the test moves.

use std::cell::Cell;

use hitgate_core::accounts::Accounts;
use hitgate_core::frame::{Fault, Frame, FrameHeader, HEADER_LEN, PixelType, flags, pulse_kind};
use hitgate_core::link::{Link, Record, Refused, lost_cause};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Node, Pipeline, Scored, Stages};
use hitgate_core::verdict::{Class, External, Policy, Sampling, Score, Verdict, reasons};
use hitgate_host::Ring;
use hitgate_ring::Lent;
use hitgate_tests::{Holder, IDENTITY, POLICY, put, ring};

/// Reads the class off the frame's one pixel, for up to `N` frames at a time.
struct PixelSays<const N: usize>;

impl<const N: usize> Backend for PixelSays<N> {
    const BATCH: usize = N;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        _: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        let score = |frame: &Frame<'_>| {
            let mut p = [100; 3];
            p[usize::from(frame.payload[0])] = 60_000;
            let [hit, maybe, miss] = p;
            Scored {
                score: Ok(Score { hit, maybe, miss }),
                in_domain: true,
                decode_ns: 0,
                prep_ns: 0,
                net_ns: 0,
            }
        };
        frames.iter().map(score).collect()
    }
}

/// Takes four frames at once until it has lost what it takes them with, in its second batch; one from then on.
struct Failing {
    batches: usize,
    last: u64,
}

impl Failing {
    const fn is_lost(&self) -> bool {
        self.batches > 1
    }
}

impl Backend for Failing {
    const BATCH: usize = 4;

    fn batch(&self) -> usize {
        if self.is_lost() { 1 } else { Self::BATCH }
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.batches += 1;
        self.last = frames.len() as u64;
        PixelSays::<4>.score(frames, now_ns)
    }

    fn fallen_back(&self) -> u64 {
        if self.is_lost() { self.last } else { 0 }
    }
}

/// A node whose clock jumps while it asks about a frame.
struct Beamline {
    now_ns: Cell<u64>,
    jump_ns: fn(&FrameHeader) -> i64,
    external: fn(&FrameHeader) -> Option<External>,
    records: Vec<Record>,
}

impl Default for Beamline {
    fn default() -> Self {
        Beamline {
            now_ns: Cell::new(1 << 40),
            jump_ns: |_| 0,
            external: |_| None,
            records: Vec::new(),
        }
    }
}

impl Node for Beamline {
    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn external(&mut self, header: &FrameHeader) -> Option<External> {
        let jump_ns = (self.jump_ns)(header);
        self.now_ns
            .set(self.now_ns.get().saturating_add_signed(jump_ns));
        (self.external)(header)
    }

    fn judged(&mut self, record: &Record, _: &Stages) {
        self.records.push(*record);
    }
}

/// A link that has no room for kept frames.
#[derive(Default)]
struct Full {
    records: Vec<Record>,
}

impl<'m> Link<'m> for Full {
    fn keep(&mut self, _: &Record, _: Lent<'m>) -> Result<(), Refused> {
        Err(Refused)
    }

    fn record(&mut self, record: &Record) {
        self.records.push(*record);
    }
}

/// A frame of one pixel.
struct Shot {
    header: [u8; HEADER_LEN],
    class: Class,
}

fn shot(class: Class, edit: impl FnOnce(&mut FrameHeader)) -> Shot {
    let mut header = FrameHeader::new(1, 1, PixelType::U8);
    edit(&mut header);
    let header = header.seal();
    Shot { header, class }
}

fn numbered(number: u64, class: Class) -> Shot {
    shot(class, |header| header.frame_number = number)
}

/// One bit of the header flipped on its way.
fn broken(number: u64) -> Shot {
    let mut shot = numbered(number, Class::Miss);
    shot.header[24] ^= 1;
    shot
}

/// Sends the frames through a ring that holds them all.
fn run<'m, L: Link<'m> + Default, const BATCH: usize>(
    ring: &'m Ring,
    shots: &[Shot],
    policy: Policy,
    node: &mut Beamline,
) -> (L, Accounts) {
    let mut writer = ring.writer().unwrap();
    for shot in shots {
        assert!(put(&mut writer, &shot.header, &[shot.class as u8]));
    }
    let reader = ring.reader().unwrap();
    let mut path = Pipeline::new(reader, PixelSays::<BATCH>, policy, L::default(), IDENTITY);
    while path.step(node).unwrap() > 0 {}
    let source = path.reader().source();
    let (_, _, link, books) = path.into_parts();
    assert_eq!(node.records.len(), shots.len());
    assert!(books.agree_with(&source), "{books:?}");
    (link, books)
}

fn verdicts(node: &Beamline) -> Vec<Verdict> {
    node.records.iter().map(Record::verdict).collect()
}

fn lost(records: &[Record]) -> Vec<&Record> {
    let is_lost = |record: &&Record| record.verdict() == Verdict::Lost;
    records.iter().filter(is_lost).collect()
}

#[test]
fn a_frame_is_late_when_its_decision_took_too_long_since_its_batch_was_taken() {
    let shots = [1, 2, 3].map(|number| numbered(number, Class::Miss));
    let policy = Policy {
        deadline_ns: Some(50_000),
        ..POLICY
    };
    let mut node = Beamline {
        jump_ns: |_| 25_000,
        ..Beamline::default()
    };
    let ring = ring(8, 1);
    let (_, books) = run::<Holder<'_>, 3>(&ring, &shots, policy, &mut node);
    let miss = Verdict::DropMiss;
    assert_eq!(verdicts(&node), [miss, miss, Verdict::KeepLate]);
    let latencies = node.records.iter().map(|record| record.latency_ns);
    assert_eq!(latencies.collect::<Vec<_>>(), [25_000, 50_000, 75_000]);
    assert_eq!(node.records[2].reasons, reasons::LATE);
    assert_eq!((books.of(Verdict::KeepLate), books.kept()), (1, 1));
}

#[test]
fn a_clock_that_runs_backwards_makes_no_frame_late() {
    let shots = [1, 2].map(|number| numbered(number, Class::Miss));
    let policy = Policy {
        deadline_ns: Some(50_000),
        ..POLICY
    };
    let mut node = Beamline {
        jump_ns: |_| -1,
        ..Beamline::default()
    };
    let ring = ring(4, 1);
    run::<Holder<'_>, 2>(&ring, &shots, policy, &mut node);
    assert_eq!(verdicts(&node), [Verdict::DropMiss; 2]);
    assert!(node.records.iter().all(|record| record.latency_ns == 0));
}

#[test]
fn a_veto_drops_and_an_external_keep_keeps() {
    let shots = [1, 2, 3].map(|pulse| {
        shot(Class::Hit, |header| {
            header.pulse_key = pulse;
            header.pulse_kind = pulse_kind::LCLS;
        })
    });
    let mut node = Beamline {
        external: |header| match header.pulse_key {
            1 => Some(External::Veto),
            2 => Some(External::Keep),
            _ => None,
        },
        ..Beamline::default()
    };
    let ring = ring(8, 1);
    let (link, books) = run::<Holder<'_>, 1>(&ring, &shots, POLICY, &mut node);
    let expected = [Verdict::DropVeto, Verdict::KeepForced, Verdict::KeepHit];
    assert_eq!(verdicts(&node), expected);
    let found: Vec<_> = node.records.iter().map(|record| record.reasons).collect();
    let hit = reasons::SCORE;
    let expected = [reasons::VETO | hit, reasons::EXTERNAL_KEEP | hit, hit];
    assert_eq!(found, expected);
    let kept: Vec<_> = link
        .kept
        .iter()
        .map(|(record, _)| record.pulse_key)
        .collect();
    assert_eq!(kept, [2, 3]);
    assert_eq!((books.dropped(), books.of(Verdict::DropVeto)), (1, 1));
}

/// A veto of even pulses would otherwise fall on every header of zeros.
#[test]
fn nobody_can_veto_a_frame_that_nobody_can_identify() {
    let mut other_version = numbered(4, Class::Miss);
    other_version.header = FrameHeader {
        version: 2,
        frame_number: 4,
        ..FrameHeader::new(1, 1, PixelType::U8)
    }
    .seal();
    let mut blank = numbered(2, Class::Miss);
    blank.header = [0; HEADER_LEN];
    let shots = [
        shot(Class::Hit, |header| header.pulse_key = 1),
        blank,
        broken(3),
        other_version,
        shot(Class::Hit, |header| header.pulse_key = 8),
    ];
    let mut node = Beamline {
        external: |header| (header.pulse_key % 2 == 0).then_some(External::Veto),
        ..Beamline::default()
    };
    let ring = ring(16, 1);
    let (link, books) = run::<Holder<'_>, 1>(&ring, &shots, POLICY, &mut node);
    let fault = Verdict::KeepFault;
    let expected = [Verdict::KeepHit, fault, fault, fault, Verdict::DropVeto];
    assert_eq!(verdicts(&node), expected);
    let faults: Vec<_> = node.records[1..4].iter().map(|r| r.reasons).collect();
    let expected = [Fault::Magic, Fault::HeaderCrc, Fault::Version].map(Fault::reason_bit);
    assert_eq!(faults, expected);
    assert_eq!((link.kept.len(), books.unidentified), (4, 3));
}

#[test]
fn samples_of_the_misses_are_kept_with_their_weight() {
    let shots: Vec<_> = (1..=64).map(|n| numbered(n, Class::Miss)).collect();
    let policy = Policy {
        sampling: Sampling { seed: 7, one_in: 4 },
        ..POLICY
    };
    let mut node = Beamline::default();
    let ring = ring(128, 1);
    let (link, books) = run::<Holder<'_>, 1>(&ring, &shots, policy, &mut node);
    let samples = books.of(Verdict::KeepSample);
    assert!((4..=32).contains(&samples), "{samples} of 16");
    assert_eq!(books.of(Verdict::DropMiss), 64 - samples);
    assert_eq!(link.kept.len() as u64, samples);
    for (record, _) in &link.kept {
        assert_eq!(
            (record.weight, record.class()),
            (4 << 16, Some(Class::Miss))
        );
        assert_eq!(record.reasons, reasons::SAMPLE);
    }
}

/// The first frame has every cause that there is; each of the next ones has one less.
#[test]
fn the_first_of_the_true_causes_decides_and_all_are_told() {
    let shots = [
        (flags::KEEP_RAW, 1, 8, Class::Hit),
        (0, 1, 8, Class::Hit),
        (0, 1, 8, Class::Hit),
        (0, 0, 8, Class::Hit),
        (0, 0, 8, Class::Hit),
        (0, 0, 1, Class::Hit),
        (0, 0, 1, Class::Maybe),
        (0, 0, 1, Class::Miss),
    ];
    let shots = shots.map(|(flags, status, modules, class)| {
        let edit = |header: &mut FrameHeader| {
            (header.flags, header.status, header.modules) = (flags, status, modules);
        };
        shot(class, edit)
    });
    let mut node = Beamline {
        jump_ns: |header| if header.seq <= 4 { 11 } else { 0 },
        external: |header| (header.seq <= 2).then_some(External::Veto),
        ..Beamline::default()
    };
    let policy = Policy {
        sampling: Sampling { seed: 0, one_in: 1 },
        deadline_ns: Some(10),
        ..POLICY
    };
    let ring = ring(16, 1);
    run::<Holder<'_>, 1>(&ring, &shots, policy, &mut node);
    let verdicts_and_reasons = node.records.iter().map(|r| (r.verdict(), r.reasons));
    let sample = reasons::SAMPLE;
    let hit = reasons::SCORE | sample;
    let partial = reasons::PARTIAL | sample;
    let damaged = Fault::Damaged.reason_bit() | reasons::LATE | partial;
    let vetoed = reasons::VETO | damaged;
    let expected = [
        (Verdict::KeepForced, reasons::KEEP_RAW | vetoed),
        (Verdict::DropVeto, vetoed),
        (Verdict::KeepFault, damaged),
        (Verdict::KeepLate, reasons::LATE | partial | hit),
        (Verdict::KeepPartial, partial | hit),
        (Verdict::KeepHit, hit),
        (Verdict::KeepMaybe, hit),
        (Verdict::KeepSample, sample),
    ];
    assert_eq!(verdicts_and_reasons.collect::<Vec<_>>(), expected);
}

#[test]
fn frames_that_the_link_refuses_are_counted_by_class_and_named() {
    let classes = [
        Class::Hit,
        Class::Hit,
        Class::Maybe,
        Class::Miss,
        Class::Hit,
    ];
    let mut shots: Vec<_> = (1..)
        .zip(classes)
        .map(|(n, class)| numbered(n, class))
        .collect();
    shots.push(broken(6));
    shots.push(numbered(7, Class::Miss));
    let mut node = Beamline {
        // The miss goes out with the hits, and the last is dropped.
        external: |header| (header.frame_number == 4).then_some(External::Keep),
        ..Beamline::default()
    };
    let ring = ring(8, 1);
    let (link, books) = run::<Full, 1>(&ring, &shots, POLICY, &mut node);
    assert_eq!(books.lost_link, [3, 1, 1, 1]);
    assert_eq!((books.refused(), books.kept(), books.dropped()), (6, 6, 1));
    assert_eq!(books.lost_source, 0);
    let named = lost(&link.records)
        .into_iter()
        .map(|r| (r.spots, r.seq, r.frame_number, r.pulse_key));
    let cause = lost_cause::LINK;
    let expected = [1, 2, 3, 4, 5, 0].map(|number| (cause, number, number, 1));
    let mut expected = expected.to_vec();
    expected[5].1 = 6;
    assert_eq!(named.collect::<Vec<_>>(), expected);
    // Each right after the frame's own record, which says what was decided.
    for pair in link.records.windows(2) {
        if pair[1].verdict() == Verdict::Lost {
            assert!(pair[0].verdict().keeps() && pair[0].seq == pair[1].seq);
        }
    }
    let consumer = ring.monitor().unwrap().consumer().unwrap();
    assert_eq!(consumer.returned, 7, "refused slots go back to the ring");
}

#[test]
fn a_backend_that_falls_back_takes_fewer_frames_at_once_and_the_books_count_them() {
    let ring = ring(16, 1);
    let mut writer = ring.writer().unwrap();
    for number in 1..=11 {
        let shot = numbered(number, Class::Miss);
        assert!(put(&mut writer, &shot.header, &[shot.class as u8]));
    }
    let backend = Failing {
        batches: 0,
        last: 0,
    };
    let reader = ring.reader().unwrap();
    let mut path = Pipeline::new(reader, backend, POLICY, Full::default(), IDENTITY);
    let mut node = Beamline::default();
    let steps: Vec<usize> = std::iter::from_fn(|| Some(path.step(&mut node).unwrap()))
        .take_while(|n| *n > 0)
        .collect();
    assert_eq!(steps, [4, 4, 1, 1, 1]);
    assert_eq!(path.accounts().fallen_back, 7);
    // Any process sees it, and whoever goes on.
    let published = ring.monitor().unwrap().consumer().unwrap();
    let books = Accounts::from_counters(&published.path);
    assert_eq!((books.fallen_back, books.received), (7, 11));
}
