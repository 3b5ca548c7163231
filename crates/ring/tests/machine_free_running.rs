//! A free-running ring beside a model of it, as `machine.rs` has one under credit: which frames a read
//! gives, which are lapped, and what every counter and record says, whoever dies on the way.
//!
//! The device stalls, gives up, dies, laps by any number of frames, and lies about numbers and about how far it
//! is.
#![cfg(not(loom))]

mod common;

use common::{free_running_ring, play_earlier_frames};
use hitgate_ring::{
    Layout, Lent, PATH_COUNTERS, RECORD_LEN, Reader, Region, RingError, Seq, Writer,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::mem::forget;
use std::ptr::NonNull;

const STRIDE: u32 = 64;
const HEAD: usize = 384;
const NEWEST: usize = 1152;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The device completes so many frames.
    Commit(u8),
    /// It begins a frame and gives up, or dies over it.
    Abandon {
        dies: bool,
    },
    /// It dies between a frame's publication and its count, or before it says how far it is.
    DieBeforeCounting {
        said: bool,
    },
    /// It stores a number of no frame into the slot that is due.
    Corrupt(u32),
    /// It says that it is so much further than it is while the filter looks.
    Lie(u32),
    /// The filter reads at most so many, and settles at most so many of them.
    Read {
        most: u32,
        settle: usize,
    },
    /// The link gives back one of the copies that it holds.
    Return(usize),
    /// The filter dies with all that it holds, and another goes on.
    DieReading,
    /// It dies when a record is committed and nothing else says so.
    DieSettling,
    Publish(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..4u8).prop_map(Step::Commit),
        2 => (0..100u8).prop_map(Step::Commit),
        1 => any::<bool>().prop_map(|dies| Step::Abandon { dies }),
        1 => any::<bool>().prop_map(|said| Step::DieBeforeCounting { said }),
        1 => prop_oneof![any::<u32>(), 0..20u32].prop_map(Step::Corrupt),
        1 => prop_oneof![any::<u32>(), 0..100u32].prop_map(Step::Lie),
        12 => (0..9u32, 0..9usize).prop_map(|(most, settle)| Step::Read { most, settle }),
        8 => any::<usize>().prop_map(Step::Return),
        1 => Just(Step::DieReading),
        1 => Just(Step::DieSettling),
        1 => any::<u64>().prop_map(Step::Publish),
    ];
    proptest::collection::vec(step, 1..150)
}

/// What must be so, in plain words.
struct Model {
    layout: Layout,
    /// Frames that passed before the test.
    first: u64,
    produced: u64,
    /// A frame was begun at `produced`, so that the one a ring before it is gone.
    begun: bool,
    /// The number that lies in the slot that is due, if it belongs nowhere.
    stray: Option<u64>,
    next: u64,
    lapped: u64,
    /// The mark of each frame's record. It has one for good.
    records: BTreeMap<u64, u8>,
    /// Whether each copy that was lent and is not free yet came back, oldest first.
    out: VecDeque<bool>,
    waits: u64,
    waiting: bool,
    /// Path's counters, taken, waits and lapped, as published.
    published: (u64, u64, u64, u64),
}

impl Model {
    fn new(layout: Layout, first: u64) -> Self {
        Model {
            layout,
            first,
            produced: first,
            begun: false,
            stray: None,
            next: first,
            lapped: 0,
            records: BTreeMap::new(),
            out: VecDeque::new(),
            waits: 0,
            waiting: false,
            published: (0, first, 0, 0),
        }
    }

    fn slots(&self) -> u64 {
        u64::from(self.layout.slots())
    }

    /// The oldest frame that is whole.
    fn oldest(&self) -> u64 {
        (self.produced + u64::from(self.begun)).saturating_sub(self.slots())
    }

    fn room(&self) -> u32 {
        self.layout.lend_limit() - self.out.len() as u32
    }

    fn reclaim(&mut self) {
        while self.out.front() == Some(&true) {
            self.out.pop_front();
        }
    }

    fn publish(&mut self, path: u64) {
        self.published = (path, self.next, self.waits, self.lapped);
    }

    fn restart_reader(&mut self) {
        self.out.clear();
        self.waiting = false;
        // What was not published died with it.
        self.waits = self.published.2;
        self.publish(self.published.0);
    }

    /// What a `read` of at most `most` frames must give.
    fn read(&mut self, most: u32) -> Result<usize, RingError> {
        self.reclaim();
        // A number that belongs nowhere lies over the frames of that slot before, too.
        let is_due = (self.produced - self.next).is_multiple_of(self.slots());
        if let Some(found) = self.stray.filter(|_| is_due) {
            let expected = Seq::from_position(self.next);
            return Err(RingError::Number { expected, found });
        }
        let waiting = self.room() == 0 && self.next < self.produced;
        self.waits += u64::from(waiting && !self.waiting);
        self.waiting = waiting;
        let limit = u64::from(most.min(self.room()));
        if limit > 0 && self.next < self.oldest() {
            let resume = self.produced - self.slots() / 2;
            self.lapped += resume - self.next;
            self.next = resume;
            self.publish(self.published.0);
        }
        Ok(limit.min(self.produced - self.next) as usize)
    }

    fn record_at(&self, position: u64) -> Option<u8> {
        let records = u64::from(self.layout.records());
        let overwritten = |at: &u64| at % records == position % records;
        let newest = self.records.keys().rev().find(|at| overwritten(at));
        (newest == Some(&position)).then(|| self.records[&position])
    }
}

/// The real one.
struct Machine<'m> {
    base: NonNull<u8>,
    model: Model,
    writer: Writer<'m>,
    reader: Reader<'m>,
    held: Vec<(u64, Lent<'m>)>,
    /// How many loans came before the oldest of `model.out`.
    loans: u64,
    mark: u8,
}

/// Memory for one reader's copies; a reader that dies leaves it to the links that look at it.
fn copies(layout: &Layout) -> &'static mut [u8] {
    Box::leak(vec![0; layout.copy_bytes()].into())
}

impl<'m> Machine<'m> {
    /// # Safety
    /// The ring at `base` has that layout, lives for `'m`, and is nobody else's.
    unsafe fn new(base: NonNull<u8>, layout: Layout, first: u64) -> Self {
        // SAFETY: the caller's promise.
        let region = unsafe { Region::attach(base, layout.bytes()) };
        let (writer, reader) = region.unwrap().split_with(copies(&layout)).unwrap();
        Machine {
            base,
            model: Model::new(layout, first),
            writer,
            reader,
            held: Vec::new(),
            loans: 0,
            mark: 0,
        }
    }

    fn play(mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
            self.check();
        }
        self.drain();
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Commit(frames) => (0..frames).for_each(|_| self.commit()),
            Step::Abandon { dies } => {
                self.begin();
                if dies {
                    self.restart_writer();
                }
            }
            Step::DieBeforeCounting { said } => {
                self.commit();
                // As if the last store of the count, that of its version, had not happened.
                let version = self.word(140);
                self.put(140, version.wrapping_sub(1));
                if !said {
                    self.put(NEWEST, self.model.produced as u32 - 1);
                }
                self.restart_writer();
            }
            Step::Corrupt(number) => self.corrupt(number),
            Step::Lie(further) => self.lie(further),
            Step::Read { most, settle } => {
                let lent = self.read(most, settle);
                self.held.extend(lent);
            }
            Step::Return(which) if !self.held.is_empty() => {
                let which = which % self.held.len();
                self.give_back(which);
            }
            Step::Return(_) => {}
            Step::DieReading => self.restart_reader(),
            Step::DieSettling => {
                self.read(0, 0);
                let lapped = self.model.lapped;
                let head = self.word(HEAD);
                self.read(1, 1).into_iter().for_each(forget);
                if lapped == self.model.lapped {
                    self.put(HEAD, head);
                }
                self.restart_reader();
            }
            Step::Publish(path) => {
                self.reader.publish(&[path; PATH_COUNTERS]);
                self.model.publish(path);
            }
        }
    }

    fn begin(&mut self) {
        // A slot that is dropped and one that is left by the dead are the same to the ring.
        let slot = self.writer.reserve().unwrap();
        assert!(slot.is_some(), "it waits for nobody");
        self.model.begun = true;
        self.model.stray = None;
    }

    fn commit(&mut self) {
        let mut slot = self.writer.reserve().unwrap().unwrap();
        let seq = slot.seq();
        slot.write(0, &[seq.get() as u8; STRIDE as usize]).unwrap();
        assert_eq!(slot.commit(), Seq::from_position(self.model.produced));
        self.model.produced += 1;
        self.model.begun = false;
        self.model.stray = None;
    }

    fn restart_writer(&mut self) {
        // SAFETY: as for `new`; the writer before this one stores no more.
        let region = unsafe { Region::attach(self.base, self.model.layout.bytes()) };
        self.writer = region.unwrap().into_writer().unwrap();
    }

    fn restart_reader(&mut self) {
        self.held.drain(..).for_each(forget);
        let layout = self.model.layout;
        // SAFETY: as for `new`; the reader before this one and what it lent are gone.
        let region = unsafe { Region::attach(self.base, layout.bytes()) };
        self.reader = region.unwrap().into_reader_with(copies(&layout)).unwrap();
        self.loans = 0;
        self.model.restart_reader();
        let path = [self.model.published.0; PATH_COUNTERS];
        assert_eq!(*self.reader.published(), path);
    }

    /// A number that no frame of the slot that is due can have.
    fn corrupt(&mut self, number: u32) {
        let model = &mut self.model;
        let slots = model.slots();
        let belongs = Seq::new(u64::from(number))
            .is_none_or(|seq| seq.position() % slots == model.produced % slots);
        if belongs {
            return;
        }
        model.stray = Some(u64::from(number));
        model.begun = true;
        let slot = (model.produced % slots) as usize * STRIDE as usize;
        let at = model.layout.slots_offset() + slot;
        self.put(at + 12, 0);
        self.put(at + 8, number);
    }

    /// A device that is not where it says leads a lapped reader nowhere, and no other.
    fn lie(&mut self, further: u32) {
        let model = &self.model;
        let resume = u64::from(further).saturating_sub(model.slots() / 2);
        if model.stray.is_some() || model.next >= model.oldest() || model.room() == 0 || resume == 0
        {
            return;
        }
        let (newest, next) = (self.word(NEWEST), model.next);
        self.put(NEWEST, newest.wrapping_add(further));
        match self.reader.read(1) {
            Ok(batch) => assert!(batch.is_empty()),
            Err(RingError::Newest { next: due, .. }) => assert_eq!(due.position(), next),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.reader.taken(), next);
        self.model.reclaim();
        self.model.waiting = false;
        self.put(NEWEST, newest);
    }

    fn read(&mut self, most: u32, settle: usize) -> Vec<(u64, Lent<'m>)> {
        let before = self.model.out.len();
        let expected = self.model.read(most);
        self.loans += (before - self.model.out.len()) as u64;
        let mut batch = match (self.reader.read(most), expected) {
            (Ok(batch), Ok(frames)) if batch.len() == frames => batch,
            (Err(error), Err(expected)) if error == expected => return Vec::new(),
            (found, expected) => panic!("{:?}, but {expected:?}", found.map(|it| it.len())),
        };
        let model = &mut self.model;
        assert_eq!(
            (batch.waiting(), batch.lapped()),
            (model.waiting, model.lapped)
        );
        for (frame, position) in batch.frames().zip(model.next..) {
            assert_eq!(frame.seq(), Seq::from_position(position));
            assert_whole(frame.seq(), frame.bytes());
            assert_eq!(frame.judged(), None);
        }
        let mut lent = Vec::new();
        while let Some(slot) = (lent.len() < settle)
            .then(|| batch.settle(&[self.mark; RECORD_LEN]))
            .flatten()
        {
            model.records.insert(model.next, self.mark);
            self.mark = self.mark.wrapping_add(1);
            model.next += 1;
            lent.push((self.loans + model.out.len() as u64, slot));
            model.out.push_back(false);
        }
        lent
    }

    fn give_back(&mut self, which: usize) {
        let (loan, frame) = self.held.swap_remove(which);
        assert_whole(frame.seq(), frame.bytes());
        self.model.out[(loan - self.loans) as usize] = true;
        drop(frame);
        self.reader.reclaim();
        let before = self.model.out.len();
        self.model.reclaim();
        self.loans += (before - self.model.out.len()) as u64;
    }

    fn check(&mut self) {
        let model = &self.model;
        assert_eq!(
            (self.writer.produced(), self.writer.stalls()),
            (model.produced, 0)
        );
        assert_eq!(self.word(NEWEST), model.produced as u32);
        let lent = model.out.iter().filter(|back| !**back).count() as u32;
        let reader = &self.reader;
        assert_eq!(
            (reader.taken(), reader.lapped()),
            (model.next, model.lapped)
        );
        assert_eq!((reader.lent(), reader.lendable()), (lent, model.room()));
        assert_eq!(reader.waits(), model.waits);
        let consumer = self.writer.monitor().consumer().unwrap();
        let (path, taken, waits, lapped) = model.published;
        assert_eq!(consumer.path, [path; PATH_COUNTERS]);
        assert_eq!(
            (consumer.taken, consumer.waits, consumer.lapped),
            (taken, waits, lapped)
        );
        // One record a frame that was not lapped, for a lap of the record ring.
        let settled = model.records.len() as u64;
        assert_eq!(model.first + settled + model.lapped, model.next);
        for position in model.next.saturating_sub(12)..=model.next {
            let record = reader.record(Seq::from_position(position));
            assert_eq!(record.map(|it| it[8]), model.record_at(position));
        }
    }

    /// The device mends what it spoilt and closes, the link gives back all that it holds.
    fn drain(mut self) {
        if self.model.stray.is_some() {
            self.begin();
        }
        self.writer.close();
        while !self.reader.finished() || !self.held.is_empty() {
            let lent = self.read(3, 3);
            self.held.extend(lent);
            if !self.held.is_empty() {
                self.give_back(0);
            }
            self.check();
        }
        assert_eq!(self.model.next, self.model.produced);
    }

    fn word(&self, offset: usize) -> u32 {
        assert!(offset < self.model.layout.bytes());
        // SAFETY: a shared word, which nobody borrows.
        unsafe { self.base.add(offset).cast::<u32>().read_volatile() }
    }

    fn put(&mut self, offset: usize, value: u32) {
        assert!(offset < self.model.layout.bytes());
        // SAFETY: a shared word, which nobody borrows.
        unsafe { self.base.add(offset).cast::<u32>().write_volatile(value) };
    }
}

fn assert_whole(seq: Seq, bytes: &[u8]) {
    assert_eq!(bytes[8..16], seq.get().to_le_bytes());
    let mut rest = bytes[..8].iter().chain(&bytes[16..]);
    assert!(rest.all(|byte| *byte == seq.get() as u8));
}

/// Without optimisation a case takes a hundred times as long; there, overflow is looked for.
const CASES: u32 = if cfg!(debug_assertions) { 100 } else { 2000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: hitgate_testkit::cases(CASES), failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_ring_is_its_model(
        (slots, records) in prop_oneof![Just((2, 2)), Just((3, 4)), Just((5, 12)), Just((70, 70))],
        // The first frame, or those about the number that is skipped.
        first in prop_oneof![Just(0), (0..100u64).prop_map(|it| u64::from(u32::MAX) - it)],
        steps in steps(),
    ) {
        let (mut memory, layout) = free_running_ring(slots, STRIDE, records);
        if first > 0 {
            play_earlier_frames(&mut memory, &layout, first);
        }
        // SAFETY: the memory outlives the machine and is nobody else's.
        unsafe { Machine::new(memory.base(), layout, first) }.play(&steps);
    }
}
