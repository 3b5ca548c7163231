//! The ring beside a model of it, a queue and some counters: what each end answers, what is lent and what
//! every counter and record says, whatever the device does and whoever dies on the way.
//!
//! The device stalls, gives up, dies, repeats old numbers, stores wrong ones, and laps. Words that nobody
//! stores in good faith are `garbage.rs`'s.
#![cfg(not(loom))]

mod common;

use common::{play_earlier_frames, ring};
use hitgate_ring::{
    Layout, Lent, PATH_COUNTERS, RECORD_LEN, Reader, Region, RingError, Seq, Writer,
};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::mem::forget;
use std::ptr::NonNull;

const STRIDE: u32 = 64;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The device completes a frame, if it has credit.
    Commit,
    /// It takes a slot and gives up.
    Abandon,
    /// It takes a slot and dies; the guard is never dropped.
    DieWriting,
    /// It dies between a frame's publication and its count.
    DieBeforeCounting,
    Lose(u8),
    /// It stores the number of that many laps ago, or any, into the slot that is due.
    Repeat(u64),
    Corrupt(u32),
    /// It stores without credit into a slot that was not read.
    Lap,
    /// It looks for credit while the head's word is impossible.
    LookAtBadHead(u32),
    /// The filter reads at most so many, and settles at most so many of them.
    Read {
        most: u32,
        settle: usize,
    },
    /// The link gives back one of the slots that it holds.
    Return(usize),
    /// The filter dies with all that it holds, and another goes on.
    DieReading,
    /// It dies when a record is committed and its slot not given back.
    DieSettling,
    Publish(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        16 => Just(Step::Commit),
        1 => Just(Step::Abandon),
        1 => Just(Step::DieWriting),
        1 => Just(Step::DieBeforeCounting),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => (1..4u64).prop_map(Step::Repeat),
        1 => prop_oneof![any::<u32>(), 0..20u32].prop_map(Step::Corrupt),
        1 => Just(Step::Lap),
        1 => any::<u32>().prop_map(Step::LookAtBadHead),
        8 => (0..9u32, 0..9usize).prop_map(|(most, settle)| Step::Read { most, settle }),
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
    /// Whether each frame that the writer has not got back yet came back to the reader's side, oldest first.
    out: VecDeque<bool>,
    /// How many of `out` this reader has passed.
    passed: usize,
    /// The mark of each frame's record. It has one for good.
    records: Vec<u8>,
    produced: u64,
    stalls: u64,
    stalled: bool,
    lost: u64,
    waits: u64,
    waiting: bool,
    /// The number that lies in the slot that is due, if it is neither 0 nor of a frame.
    stray: Option<u64>,
    /// Path's counters, taken, returned and waits, as published.
    published: (u64, u64, u64, u64),
}

impl Model {
    fn new(layout: Layout, first: u64) -> Self {
        Model {
            layout,
            first,
            out: VecDeque::new(),
            passed: 0,
            records: Vec::new(),
            produced: first,
            stalls: 0,
            stalled: false,
            lost: 0,
            waits: 0,
            waiting: false,
            stray: None,
            published: (0, first, first, 0),
        }
    }

    fn head(&self) -> u64 {
        self.produced - self.out.len() as u64
    }

    fn taken(&self) -> u64 {
        self.head() + self.passed as u64
    }

    fn has_credit(&self) -> bool {
        self.out.len() < self.layout.slots() as usize
    }

    fn lent(&self) -> u32 {
        self.out.range(..self.passed).filter(|back| !**back).count() as u32
    }

    fn lendable(&self) -> u32 {
        self.layout.slots() / 2 - self.lent()
    }

    fn reclaim(&mut self) {
        while self.passed > 0 && self.out[0] {
            self.out.pop_front();
            self.passed -= 1;
        }
    }

    fn publish(&mut self, path: u64) {
        self.published = (path, self.taken(), self.head(), self.waits);
    }

    fn restart_reader(&mut self) {
        self.passed = 0;
        self.waiting = false;
        // What was not published died with it.
        self.waits = self.published.3;
        self.publish(self.published.0);
    }

    /// What a `read` of at most `most` frames must give.
    fn read(&mut self, most: u32) -> Result<usize, RingError> {
        while self.out.get(self.passed) == Some(&true) {
            self.passed += 1;
        }
        self.reclaim();
        let lendable = self.lendable();
        let is_there = self.passed < self.out.len();
        if let Some(found) = self
            .stray
            .filter(|_| !is_there && (lendable == 0 || most > 0))
        {
            let expected = Seq::from_position(self.produced);
            return Err(RingError::Number { expected, found });
        }
        let waiting = lendable == 0 && is_there;
        self.waits += u64::from(waiting && !self.waiting);
        self.waiting = waiting;
        let fresh = self.out.range(self.passed..).take_while(|back| !**back);
        Ok(fresh.take(most.min(lendable) as usize).count())
    }

    fn record_at(&self, position: u64) -> Option<u8> {
        let index = position.checked_sub(self.first)? as usize;
        let overwritten = index + (self.layout.records() as usize) < self.records.len();
        self.records.get(index).copied().filter(|_| !overwritten)
    }
}

/// The real one.
struct Machine<'m> {
    base: NonNull<u8>,
    model: Model,
    writer: Writer<'m>,
    reader: Reader<'m>,
    held: Vec<Lent<'m>>,
    mark: u8,
}

impl<'m> Machine<'m> {
    /// # Safety
    /// The ring at `base` has that layout, lives for `'m`, and is nobody else's.
    unsafe fn new(base: NonNull<u8>, layout: Layout, first: u64) -> Self {
        // SAFETY: the caller's promise.
        let region = unsafe { Region::attach(base, layout.bytes()) };
        let (writer, reader) = region.unwrap().split().unwrap();
        Machine {
            base,
            model: Model::new(layout, first),
            writer,
            reader,
            held: Vec::new(),
            mark: 0,
        }
    }

    fn play(mut self, steps: &[Step]) {
        for step in steps {
            if !self.take(step) {
                return;
            }
            self.check();
        }
        self.drain();
    }

    /// Takes a step; false if the ring is beyond repair after it, as it must be.
    fn take(&mut self, step: &Step) -> bool {
        match *step {
            Step::Commit => self.commit(),
            Step::Abandon => drop(self.reserve()),
            Step::DieWriting => {
                self.reserve();
                self.restart_writer();
            }
            Step::DieBeforeCounting => self.die_before_counting(),
            Step::Lose(frames) => {
                self.writer.lose(u64::from(frames));
                self.model.lost += u64::from(frames);
            }
            Step::Repeat(laps) => {
                let slots = u64::from(self.model.layout.slots());
                if let Some(earlier) = self.model.produced.checked_sub(laps * slots) {
                    self.store_stray(Seq::from_position(earlier).get());
                }
            }
            Step::Corrupt(number) => self.store_stray(u64::from(number)),
            Step::Lap => return !self.lap(),
            Step::LookAtBadHead(head) => self.look_at_bad_head(head),
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
                self.read(1, 1).into_iter().for_each(forget);
                self.restart_reader();
            }
            Step::Publish(path) => {
                self.reader.publish(&[path; PATH_COUNTERS]);
                self.model.publish(path);
            }
        }
        true
    }

    /// Asks for a slot and gives it up; true if there was one.
    fn reserve(&mut self) -> bool {
        let model = &mut self.model;
        let slot = self.writer.reserve().unwrap();
        assert_eq!(slot.is_some(), model.has_credit());
        model.stalls += u64::from(slot.is_none() && !model.stalled);
        model.stalled = slot.is_none();
        if slot.is_some() {
            model.stray = None;
        }
        // Dropped or forgotten is the same to the ring: a process that dies drops nothing.
        slot.map(forget).is_some()
    }

    fn commit(&mut self) {
        if !self.reserve() {
            return;
        }
        let mut slot = self.writer.reserve().unwrap().expect("it was there");
        let seq = slot.seq();
        slot.body().unwrap().fill(seq.get() as u8);
        assert_eq!(slot.commit(), Seq::from_position(self.model.produced));
        self.model.produced += 1;
        self.model.out.push_back(false);
    }

    fn die_before_counting(&mut self) {
        let before = self.model.produced;
        self.commit();
        if self.model.produced > before {
            // As if the last store of the count, that of its version, had not happened.
            let version = self.word(140);
            // SAFETY: a word of the control page, which nobody borrows.
            unsafe { version.write_volatile(version.read_volatile().wrapping_sub(1)) };
        }
        self.restart_writer();
    }

    fn restart_writer(&mut self) {
        // SAFETY: as for `new`; the writer before this one stores no more.
        let region = unsafe { Region::attach(self.base, self.model.layout.bytes()) };
        self.writer = region.unwrap().into_writer().unwrap();
        self.model.stalled = false;
    }

    fn restart_reader(&mut self) {
        self.held.drain(..).for_each(forget);
        // SAFETY: as for `new`; the reader before this one and what it lent are gone.
        let region = unsafe { Region::attach(self.base, self.model.layout.bytes()) };
        self.reader = region.unwrap().into_reader().unwrap();
        self.model.restart_reader();
        let path = [self.model.published.0; PATH_COUNTERS];
        assert_eq!(*self.reader.published(), path);
    }

    /// A number that is not that of the frame that is due, in its slot, for which there is credit.
    fn store_stray(&mut self, number: u64) {
        let model = &mut self.model;
        let due = Seq::from_position(model.produced);
        if !model.has_credit() || number as u32 == due.low() {
            return;
        }
        let slots = u64::from(model.layout.slots());
        let lap_before = model.produced.checked_sub(slots).map(Seq::from_position);
        let unsuspicious =
            number as u32 == 0 || lap_before.is_some_and(|it| it.low() == number as u32);
        model.stray = (!unsuspicious).then_some(number);
        self.store_number(number);
    }

    fn store_number(&mut self, number: u64) {
        let layout = self.model.layout;
        let slot = self.model.produced % u64::from(layout.slots());
        let at = layout.slots_offset() + slot as usize * layout.stride() as usize + 8;
        // SAFETY: a slot's number, which the reader loads as words until the frame is there.
        unsafe {
            self.word(at + 4).write_volatile((number >> 32) as u32);
            self.word(at).write_volatile(number as u32);
        }
    }

    /// True if the device could lap: the ring was full, and nobody, dead or alive, had given the oldest frame back.
    fn lap(&mut self) -> bool {
        if self.model.has_credit() || self.model.passed > 0 || self.model.out[0] {
            return false;
        }
        let lapping = Seq::from_position(self.model.produced);
        self.store_number(lapping.get());
        let expected = Seq::from_position(self.model.head());
        for _ in 0..2 {
            let error = RingError::Number {
                expected,
                found: lapping.get(),
            };
            assert_eq!(self.reader.read(1).err(), Some(error));
        }
        self.check_records();
        true
    }

    fn look_at_bad_head(&mut self, head: u32) {
        let model = &mut self.model;
        let tail = model.produced as u32;
        if tail.wrapping_sub(head) <= model.layout.slots() {
            return;
        }
        let word = NonNull::as_ptr(self.base).wrapping_add(384).cast::<u32>();
        // SAFETY: a word of the control page, which nobody borrows.
        unsafe { word.write_volatile(head) };
        match self.writer.reserve() {
            Err(error) => assert_eq!(error, RingError::Head { head, tail }),
            Ok(slot) => {
                assert!(
                    slot.is_some() && model.has_credit(),
                    "credit that it knew of"
                );
                model.stalled = false;
                model.stray = None;
            }
        }
        // SAFETY: as above.
        unsafe { word.write_volatile(model.head() as u32) };
    }

    fn read(&mut self, most: u32, settle: usize) -> Vec<Lent<'m>> {
        let expected = self.model.read(most);
        let mut batch = match (self.reader.read(most), expected) {
            (Ok(batch), Ok(frames)) if batch.len() == frames => batch,
            (Err(error), Err(expected)) if error == expected => return Vec::new(),
            (found, expected) => panic!("{:?}, but {expected:?}", found.map(|it| it.len())),
        };
        let model = &mut self.model;
        assert_eq!(batch.waiting(), model.waiting);
        for (i, frame) in batch.frames().enumerate() {
            let position = model.taken() + i as u64;
            assert_eq!(frame.seq(), Seq::from_position(position));
            assert!(
                frame.bytes()[16..]
                    .iter()
                    .all(|it| *it == frame.seq().get() as u8)
            );
            assert_eq!(frame.judged().map(|it| it[8]), model.record_at(position));
        }
        let mut lent = Vec::new();
        while let Some(slot) = (lent.len() < settle)
            .then(|| batch.settle(&[self.mark; RECORD_LEN]))
            .flatten()
        {
            let index = model.taken() - model.first;
            if index == model.records.len() as u64 {
                model.records.push(self.mark);
            }
            self.mark = self.mark.wrapping_add(1);
            model.passed += 1;
            lent.push(slot);
        }
        lent
    }

    fn give_back(&mut self, which: usize) {
        let slot = self.held.swap_remove(which);
        assert!(
            slot.bytes()[16..]
                .iter()
                .all(|it| *it == slot.seq().get() as u8)
        );
        let index = slot.seq().position() - self.model.head();
        self.model.out[index as usize] = true;
        drop(slot);
        self.reader.reclaim();
        self.model.reclaim();
    }

    fn check(&mut self) {
        let model = &self.model;
        let (writer, reader) = (&self.writer, &mut self.reader);
        let counts = (model.produced, model.stalls, model.lost);
        assert_eq!(
            (writer.produced(), writer.stalls(), writer.lost_at_source()),
            counts
        );
        let source = reader.source();
        assert_eq!(
            (source.produced, source.stalls, source.lost_at_source),
            counts
        );
        let reading = (model.taken(), model.lent(), model.lendable(), model.waits);
        let found = (
            reader.taken(),
            reader.lent(),
            reader.lendable(),
            reader.waits(),
        );
        assert_eq!(found, reading);
        let consumer = writer.monitor().consumer().unwrap();
        let (path, taken, returned, waits) = model.published;
        assert_eq!(consumer.path, [path; PATH_COUNTERS]);
        assert_eq!(
            (consumer.taken, consumer.returned, consumer.waits),
            (taken, returned, waits)
        );
        self.check_records();
    }

    /// One record a frame, for a lap of the record ring, and none for a frame that has not been judged.
    fn check_records(&self) {
        let model = &self.model;
        let judged = model.first + model.records.len() as u64;
        let oldest = judged.saturating_sub(u64::from(model.layout.records()) + 2);
        for position in oldest..=model.produced {
            let seq = Seq::from_position(position);
            let record = self.reader.record(seq);
            assert_eq!(
                record.map(|it| it[8]),
                model.record_at(position),
                "frame {seq}"
            );
        }
    }

    /// The device mends what it spoilt and closes, the link gives back all that it holds.
    fn drain(mut self) {
        self.reserve();
        self.writer.close();
        while !self.reader.finished() || !self.held.is_empty() {
            let lent = self.read(3, 3);
            self.held.extend(lent);
            if !self.held.is_empty() {
                self.give_back(0);
            }
            self.check();
        }
        let model = &self.model;
        assert_eq!(model.records.len() as u64, model.produced - model.first);
        assert_eq!(
            (model.taken(), model.head()),
            (model.produced, model.produced)
        );
    }

    fn word(&self, offset: usize) -> *mut u32 {
        assert!(offset < self.model.layout.bytes());
        self.base.as_ptr().wrapping_add(offset).cast()
    }
}

/// Without optimisation a case takes a hundred times as long; there, overflow is looked for.
const CASES: u32 = if cfg!(debug_assertions) { 100 } else { 2000 };

proptest! {
    #![proptest_config(ProptestConfig { cases: hitgate_testkit::cases(CASES), failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_ring_is_its_model(
        (slots, records) in prop_oneof![Just((2, 2)), Just((3, 4)), Just((5, 12)), Just((40, 40))],
        // The first frame, or those about the number that is skipped.
        first in prop_oneof![Just(0), (0..60u64).prop_map(|it| u64::from(u32::MAX) - it)],
        steps in steps(),
    ) {
        let (mut memory, layout) = ring(slots, STRIDE, records);
        if first > 0 {
            play_earlier_frames(&mut memory, &layout, first);
        }
        // SAFETY: the memory outlives the machine and is nobody else's.
        unsafe { Machine::new(memory.base(), layout, first) }.play(&steps);
    }
}
