//! Whatever stands in the shared words, nothing outside of the ring is touched and nothing panics.
#![cfg(not(loom))]

mod common;

use common::Memory;
use hitgate_ring::{AttachError, Layout, Policy, Reader, Region, Seq, Writer};
use proptest::prelude::*;
use std::ptr::NonNull;

/// Bytes of the identity line that say what the ring is; the rest of it is damaged too.
const IDENTITY: usize = 128;

/// What either side does, or what damage is done between two of its steps.
#[derive(Clone, Debug)]
enum Step {
    Write,
    Read(u32),
    Return(usize),
    Publish,
    Look,
    Reattach,
    Damage { offset: usize, value: u32 },
}

fn steps(layout: Layout) -> impl Strategy<Value = Vec<Step>> {
    let words = layout.bytes() / 4;
    // Control words and numbers decide; most damage goes there.
    let word = prop_oneof![
        3 => IDENTITY / 4..1156 / 4,
        2 => 4096 / 4..layout.slots_offset() / 4,
        2 => (0..layout.slots() as usize, 2..4usize)
            .prop_map(move |(slot, word)| {
                (layout.slots_offset() + slot * layout.stride() as usize) / 4 + word
            }),
        1 => IDENTITY / 4..words,
    ];
    let value = prop_oneof![any::<u32>(), 0..20u32, Just(u32::MAX), Just(1 << 31)];
    let step = prop_oneof![
        4 => Just(Step::Write),
        4 => (0..10u32).prop_map(Step::Read),
        2 => any::<usize>().prop_map(Step::Return),
        1 => Just(Step::Publish),
        1 => Just(Step::Look),
        1 => Just(Step::Reattach),
        3 => (word, value).prop_map(|(word, value)| Step::Damage { offset: word * 4, value }),
    ];
    proptest::collection::vec(step, 1..80)
}

/// The ring in the middle of memory whose rest must stay as it was.
struct Fenced {
    memory: Memory,
    layout: Layout,
}

/// Without optimisation a case takes a hundred times as long; there, overflow is looked for.
const CASES: u32 = if cfg!(debug_assertions) { 100 } else { 3000 };

const GUARD: u8 = 0x5a;

impl Fenced {
    fn new(layout: Layout) -> Self {
        let room = Layout::new(
            2,
            (layout.bytes() + 3 * 4096).next_multiple_of(64) as u32,
            2,
        );
        let mut memory = Memory::new(&room.unwrap());
        memory.bytes().fill(GUARD);
        Fenced { memory, layout }
    }

    fn base(&mut self) -> NonNull<u8> {
        // SAFETY: the memory is at least two pages longer than the ring.
        unsafe { self.memory.base().add(4096) }
    }

    fn is_intact(&mut self) -> bool {
        let end = 4096 + self.layout.bytes();
        let bytes = self.memory.bytes();
        bytes[..4096]
            .iter()
            .chain(&bytes[end..])
            .all(|byte| *byte == GUARD)
    }
}

/// Both ends, with memory for copies where the ring needs it.
fn ends(region: Region<'static>) -> Result<(Writer<'static>, Reader<'static>), AttachError> {
    let copies = Box::leak(vec![0; region.layout().copy_bytes()].into());
    region.split_with(copies)
}

fn play(layout: Layout, steps: &[Step]) {
    let mut fenced = Fenced::new(layout);
    let base = fenced.base();
    // The exact length: a byte more and the ring could hide an access behind it.
    let len = layout.bytes();
    // SAFETY: the memory is valid for longer than the ends, one writer and one reader at a time.
    let mut ends = Some(ends(unsafe { Region::create(base, len, &layout, 1) }.unwrap()).unwrap());
    let mut lent = Vec::new();
    for step in steps {
        let Some((writer, reader)) = &mut ends else {
            break;
        };
        match step {
            Step::Write => {
                if let Ok(Some(mut slot)) = writer.reserve() {
                    slot.write(3, &[1; 60]).unwrap();
                    if let Some(body) = slot.body() {
                        body.fill(2);
                    }
                    slot.commit();
                }
            }
            Step::Read(max) => {
                if let Ok(mut batch) = reader.read(*max) {
                    let bytes = batch
                        .frames()
                        .map(|frame| frame.bytes().len())
                        .sum::<usize>();
                    assert_eq!(bytes, batch.len() * layout.stride() as usize);
                    for i in 0..=batch.len() {
                        let _ = batch.get(i).map(|frame| frame.judged());
                    }
                    while let Some(slot) = batch.settle(&[3; 64]) {
                        lent.push(slot);
                    }
                }
            }
            Step::Return(which) if !lent.is_empty() => {
                let which = which % lent.len();
                drop(lent.remove(which));
                reader.reclaim();
            }
            Step::Return(_) => {}
            Step::Publish => {
                writer.lose(u64::MAX);
                reader.publish(&[u64::MAX; 24]);
                writer.heartbeat(1);
                reader.heartbeat(1);
            }
            Step::Look => {
                let monitor = writer.monitor();
                let _ = (monitor.source(), monitor.consumer(), reader.finished());
                let _ = monitor.record(Seq::from_position(reader.taken()));
                assert!(reader.lendable() <= layout.lend_limit());
            }
            Step::Reattach => {
                lent.clear();
                let _ = ends.take();
                // SAFETY: as above; the ends before these are gone.
                let region = unsafe { Region::attach(base, len) };
                ends = region.and_then(self::ends).ok();
            }
            Step::Damage { offset, value } => {
                // SAFETY: a word of the ring, which nobody borrows between two steps.
                unsafe { base.add(*offset).cast::<u32>().write_volatile(*value) };
            }
        }
    }
    drop(lent);
    assert!(fenced.is_intact());
}

#[test]
fn counters_at_their_end_stay_there() {
    let layout = Layout::new(2, 64, 2).unwrap();
    let mut memory = Memory::new(&layout);
    memory.create(&layout);
    // Stalls of both copies, and waits of both copies.
    for offset in [256 + 8, 288 + 8, 640 + 26 * 8, 896 + 26 * 8] {
        memory.put(offset, u32::MAX);
        memory.put(offset + 4, u32::MAX);
    }
    let (mut writer, mut reader) = memory.ends();
    while let Some(slot) = writer.reserve().unwrap() {
        slot.commit();
    }
    let lent = reader.read(1).unwrap().settle(&[0; 64]);
    assert!(reader.read(1).unwrap().waiting());
    assert_eq!((writer.stalls(), reader.waits()), (u64::MAX, u64::MAX));
    drop(lent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: hitgate_testkit::cases(CASES), failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_words_lead_nowhere(
        steps in steps(Layout::new(5, 64, 7).unwrap()),
    ) {
        play(Layout::new(5, 64, 7).unwrap(), &steps);
    }

    #[test]
    fn damaged_words_of_a_ring_with_a_longer_bitmap_lead_nowhere(
        steps in steps(Layout::new(40, 128, 40).unwrap()),
    ) {
        play(Layout::new(40, 128, 40).unwrap(), &steps);
    }

    #[test]
    fn damaged_words_of_a_free_running_ring_lead_nowhere(
        steps in steps(Layout::new(5, 64, 7).unwrap()),
    ) {
        let layout = Layout::new(5, 64, 7).unwrap();
        play(layout.with_policy(Policy::FreeRunning), &steps);
    }

    #[test]
    fn a_random_identity_is_attached_only_if_it_fits(
        words in proptest::collection::vec((0..32usize, any::<u32>()), 0..6),
    ) {
        let layout = Layout::new(5, 64, 7).unwrap();
        let mut memory = Memory::new(&layout);
        memory.create(&layout);
        for (word, value) in words {
            memory.put(word * 4, value);
        }
        if let Ok(region) = memory.attach() {
            let found = *region.layout();
            prop_assert_eq!(found.with_policy(Policy::Credit), layout);
        }
    }
}
