//! Memory that the CPU's caches do not follow: what a device stores is seen only after the hooks have
//! discarded the stale copy, and is not looked at once the slot went back.
#![cfg(not(loom))]

mod common;

use common::{Memory, free_running_ring, ring};
use hitgate_ring::{CacheHooks, Layout, RECORD_LEN, Seq};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Mutex;

const SLOTS: usize = 4;
const STRIDE: usize = 128;
const STALE: u8 = 0xdd;

/// The device's memory beside the ring's, which stands for the cache.
struct Device {
    slots: Mutex<Vec<u8>>,
    /// The frame that it stores over the next slot that is copied, once it was.
    meddles: Mutex<Option<u64>>,
    cache: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the cache's bytes are written by the hooks alone, on the one thread of this test.
unsafe impl Sync for Device {}

impl Device {
    fn beside(cache: &mut Memory, layout: Layout) -> Device {
        Device {
            slots: Mutex::new(vec![0; SLOTS * STRIDE]),
            meddles: Mutex::new(None),
            cache: cache.base(),
            layout,
        }
    }

    /// Stores a frame and then its number, as a bus master does: past the cache.
    fn write(&self, position: u64) {
        let seq = Seq::from_position(position);
        let start = position as usize % SLOTS * STRIDE;
        let mut slots = self.slots.lock().unwrap();
        slots[start..start + STRIDE].fill(seq.get() as u8);
        slots[start + 8..start + 16].copy_from_slice(&seq.get().to_le_bytes());
    }
}

impl CacheHooks for Device {
    fn before_cpu_read(&self, range: Range<usize>) {
        let copied = range.len() == STRIDE;
        let slots = self.slots.lock().unwrap();
        for at in range {
            let byte = slots[at - self.layout.slots_offset()];
            // SAFETY: a byte of a slot that the reader does not look at yet.
            unsafe { self.cache.add(at).write_volatile(byte) };
        }
        drop(slots);
        if copied {
            let meddles = self.meddles.lock().unwrap().take();
            meddles.into_iter().for_each(|it| self.write(it));
        }
    }

    fn after_cpu_read(&self, range: Range<usize>) {
        assert_eq!(range.len(), STRIDE);
        for at in range {
            // SAFETY: a byte of a slot that the reader looks at no more.
            unsafe { self.cache.add(at).write_volatile(STALE) };
        }
    }
}

#[test]
fn a_frame_is_seen_through_the_hooks_alone() {
    let (mut memory, layout) = ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let reader = memory.attach().unwrap().into_reader().unwrap();
    let mut reader = reader.with_cache_hooks(&device);
    let mut produced = 0;
    for lap in 0..3 {
        assert!(reader.read(4).unwrap().is_empty());
        for _ in 0..SLOTS {
            device.write(produced);
            produced += 1;
        }
        for half in 0..2 {
            let mut batch = reader.read(4).unwrap();
            assert_eq!(batch.len(), SLOTS / 2, "lap {lap}, half {half}");
            for frame in batch.frames() {
                let mark = frame.seq().get() as u8;
                assert_eq!(frame.bytes()[8..16], frame.seq().get().to_le_bytes());
                assert!(frame.bytes()[16..].iter().all(|byte| *byte == mark));
            }
            // The newer one goes back first; the older is whole until it goes.
            let older = batch.settle(&[0; RECORD_LEN]).unwrap();
            let newer = batch.settle(&[0; RECORD_LEN]).unwrap();
            drop(newer);
            assert_eq!(older.bytes()[16], older.seq().get() as u8);
            drop(older);
        }
    }
    assert_eq!(reader.taken(), produced);
}

#[test]
fn a_lap_while_a_slot_is_copied_is_seen_through_the_hooks_alone() {
    let (mut memory, layout) = free_running_ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let mut copies = vec![0; layout.copy_bytes()];
    let reader = memory
        .attach()
        .unwrap()
        .into_reader_with(&mut copies)
        .unwrap();
    let mut reader = reader.with_cache_hooks(&device);
    for position in 0..2 {
        device.write(position);
    }
    let mut batch = reader.read(1).unwrap();
    let first = batch.settle(&[0; RECORD_LEN]).unwrap();
    drop(batch);
    // The copy is whole, and its slot is not looked at any more.
    assert!(first.bytes()[16..].iter().all(|byte| *byte == 1));
    *device.meddles.lock().unwrap() = Some(5);
    assert!(
        reader.read(1).unwrap().is_empty(),
        "overwritten behind the cache"
    );
}

/// The test above rests on it: without the hooks nothing of the device is seen.
#[test]
fn without_the_hooks_nothing_is_seen() {
    let (mut memory, layout) = ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let mut reader = memory.attach().unwrap().into_reader().unwrap();
    device.write(0);
    assert!(reader.read(4).unwrap().is_empty());
}
