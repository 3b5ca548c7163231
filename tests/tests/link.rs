//! What the path hands to its link, and what becomes of frames that the link cannot carry.

use hitgate_core::accounts::Accounts;
use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::link::{Link, Record, Refused, Worth, lost_cause};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Node, Pipeline, Scored};
use hitgate_core::verdict::{External, Sampling, Score, Verdict};
use hitgate_host::Ring;
use hitgate_ring::Lent;
use hitgate_tests::{IDENTITY, POLICY, put, ring};

/// Frames of two pixels: the first is the class, the second all of the map.
#[derive(Default)]
struct PixelSays {
    maps: Vec<u8>,
}

impl Backend for PixelSays {
    const BATCH: usize = 4;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        _: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.maps = frames.iter().map(|frame| frame.payload[1]).collect();
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

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        self.maps.get(i..=i)
    }
}

const HIT: u8 = 0;
const MAYBE: u8 = 1;
const MISS: u8 = 2;

/// Vetoes frame 40.
struct Beamline;

impl Node for Beamline {
    fn now_ns(&self) -> u64 {
        0
    }

    fn external(&mut self, header: &FrameHeader) -> Option<External> {
        (header.frame_number == 40).then_some(External::Veto)
    }
}

/// A link with room for `N` frames, which are never sent.
#[derive(Default)]
struct Narrow<'m, const N: usize> {
    waiting: Vec<(Record, Lent<'m>)>,
    shed: Option<Record>,
    records: Vec<Record>,
    dropped: Vec<(u64, Vec<u8>)>,
}

impl<'m, const N: usize> Link<'m> for Narrow<'m, N> {
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        let worth = |record: &Record| Worth::of(record.verdict(), record.reasons);
        if self.waiting.len() == N {
            let (least, _) = (self.waiting.iter().enumerate())
                .min_by_key(|(_, (waiting, _))| worth(waiting))
                .ok_or(Refused)?;
            if worth(&self.waiting[least].0) >= worth(record) {
                return Err(Refused);
            }
            self.shed = Some(self.waiting.remove(least).0);
        }
        self.waiting.push((*record, frame));
        Ok(())
    }

    fn lost(&mut self) -> Option<Record> {
        self.shed.take()
    }

    fn record(&mut self, record: &Record) {
        self.records.push(*record);
    }

    fn dropped(&mut self, record: &Record, map: &[u8]) {
        self.dropped.push((record.frame_number, map.to_vec()));
    }
}

/// Sends frames of these numbers and pixels through; an odd number's header is broken on its way.
fn through<'m, const N: usize>(
    ring: &'m Ring,
    shots: &[(u64, [u8; 2])],
    one_in: u16,
) -> Pipeline<'m, PixelSays, Narrow<'m, N>> {
    let mut writer = ring.writer().unwrap();
    for (number, pixels) in shots {
        let header = FrameHeader {
            frame_number: *number,
            ..FrameHeader::new(1, 2, PixelType::U8)
        };
        let mut header = header.seal();
        header[24] ^= (number % 2) as u8;
        assert!(put(&mut writer, &header, pixels));
    }
    let policy = hitgate_core::verdict::Policy {
        sampling: Sampling { seed: 0, one_in },
        ..POLICY
    };
    let backend = PixelSays::default();
    let reader = ring.reader().unwrap();
    let mut path = Pipeline::new(reader, backend, policy, Narrow::default(), IDENTITY);
    while path.step(&mut Beamline).unwrap() > 0 {}
    path
}

#[test]
fn the_map_of_a_dropped_frame_is_its_own() {
    let ring = ring(32, 2);
    let shots = [
        (10, [MISS, 1]),
        (11, [MISS, 2]),
        (20, [HIT, 3]),
        (30, [MISS, 4]),
        (40, [HIT, 5]),
        (41, [MISS, 6]),
        (50, [MAYBE, 7]),
        (60, [MISS, 8]),
    ];
    let path = through::<8>(&ring, &shots, 0);
    // Frame 40 was vetoed; of broken frames there are no maps.
    let expected = [(10, vec![1]), (30, vec![4]), (40, vec![5]), (60, vec![8])];
    assert_eq!(path.link.dropped, expected);
    assert_eq!(path.accounts().dropped(), expected.len() as u64);
}

#[test]
fn a_full_link_gives_samples_up_first_and_each_is_counted_by_class_and_named() {
    let ring = ring(32, 2);
    // Every miss is drawn.
    let shots = [
        (2, [MISS, 0]),
        (4, [MAYBE, 0]),
        (6, [HIT, 0]),
        (8, [MISS, 0]),
        (11, [HIT, 0]),
        (12, [HIT, 0]),
        (14, [MAYBE, 0]),
    ];
    let path = through::<3>(&ring, &shots, 1);
    let waiting: Vec<_> = path.link.waiting.iter().map(|(r, _)| r.verdict()).collect();
    let expected = [Verdict::KeepHit, Verdict::KeepFault, Verdict::KeepHit];
    assert_eq!(waiting, expected);
    let lost = path
        .link
        .records
        .iter()
        .filter(|r| r.verdict() == Verdict::Lost);
    let lost: Vec<_> = lost
        .map(|record| (record.frame_number, record.seq, record.spots))
        .collect();
    // Refused, shed, shed, refused; between them the numbers that never came.
    let of_the_link = |lost: &&(u64, u64, u16)| lost.2 == lost_cause::LINK;
    let numbers: Vec<_> = lost
        .iter()
        .filter(of_the_link)
        .map(|l| (l.0, l.1))
        .collect();
    assert_eq!(numbers, [(8, 4), (2, 1), (4, 2), (14, 7)]);
    let books = path.accounts();
    assert_eq!(books.lost_link, [0, 2, 2, 0]);
    assert_eq!((books.kept(), books.refused()), (7, 4));
    assert!(books.balance());
}

/// What a link finds out only after it has taken a frame.
#[test]
fn frames_that_a_link_could_not_send_are_entered_while_none_comes() {
    let ring = ring(32, 2);
    let shots = [(2, [HIT, 0]), (4, [MAYBE, 0]), (6, [HIT, 0])];
    let mut path = through::<8>(&ring, &shots, 0);
    let told = || {
        let consumer = ring.monitor().unwrap().consumer().unwrap();
        let books = Accounts::from_counters(&consumer.path);
        (books.lost_link, consumer.taken - consumer.returned)
    };
    assert_eq!(told(), ([0; 4], 3));
    let (unsent, slot) = path.link.waiting.remove(0);
    path.link.shed = Some(unsent);
    drop(slot);
    assert_eq!(path.step(&mut Beamline).unwrap(), 0);
    assert_eq!(told(), ([1, 0, 0, 0], 2), "other processes know at once");
    path.link.waiting.clear();
    path.attend_to_link();
    assert_eq!(told(), ([1, 0, 0, 0], 0), "slots that came back too");
    let last = path.link.records.last().unwrap();
    let found = (last.verdict(), last.frame_number, last.seq, last.spots);
    assert_eq!(found, (Verdict::Lost, 2, 1, lost_cause::LINK));
    assert!(path.accounts().balance());
}
