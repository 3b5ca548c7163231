//! Memory that the CPU's caches do not follow: what a device stores is seen only after the hooks have
//! discarded the stale copy, and is not looked at once the slot went back; what the CPU stores the device sees
//! only once the hooks have written it back.
#![cfg(not(loom))]

mod common;

use common::{Memory, free_running_ring, ring};
use hitgate_ring::{CacheHooks, Layout, Policy, RECORD_LEN, Reader, Seq};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Mutex;

const SLOTS: usize = 4;
const STRIDE: usize = 128;
const STALE: u8 = 0xdd;
/// Words of the control page, by the table of the layout.
const HEAD: usize = 384;
const NEWEST: usize = 1152;

/// The memory that the device sees. The ring's own stands for the cache.
struct Device {
    memory: Mutex<Vec<u8>>,
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
            memory: Mutex::new(vec![0; layout.bytes()]),
            meddles: Mutex::new(None),
            cache: cache.base(),
            layout,
        }
    }

    fn slot(&self, position: u64) -> usize {
        self.layout.slots_offset() + position as usize % SLOTS * STRIDE
    }

    /// Stores a frame and then its number, as a bus master does: past the cache.
    fn write(&self, position: u64) {
        let (seq, start) = (Seq::from_position(position), self.slot(position));
        let mut memory = self.memory.lock().unwrap();
        memory[start..start + STRIDE].fill(seq.get() as u8);
        memory[start + 8..start + 16].copy_from_slice(&seq.get().to_le_bytes());
        if self.layout.policy() == Policy::FreeRunning {
            memory[NEWEST..NEWEST + 4].copy_from_slice(&(position as u32 + 1).to_le_bytes());
        }
    }

    /// Erases a slot's number, before the frame of `position` is stored there.
    fn begin(&self, position: u64) {
        let start = self.slot(position);
        self.memory.lock().unwrap()[start + 8..start + 16].fill(0);
    }

    /// Whether the slot of `position` came back, as far as the device sees.
    fn has_credit(&self, position: u64) -> bool {
        let memory = self.memory.lock().unwrap();
        let head = memory[HEAD..HEAD + 4].try_into().unwrap();
        position < u64::from(u32::from_le_bytes(head)) + SLOTS as u64
    }
}

impl CacheHooks for Device {
    fn before_cpu_read(&self, range: Range<usize>) {
        let copied = range.len() == STRIDE;
        let is_newest = range == (NEWEST..NEWEST + 4);
        assert!(
            is_newest || range.start >= self.layout.slots_offset(),
            "{range:?} is not the device's"
        );
        let memory = self.memory.lock().unwrap();
        for at in range {
            // SAFETY: a byte of a slot that the reader does not look at yet, or of a word that it reads next.
            unsafe { self.cache.add(at).write_volatile(memory[at]) };
        }
        drop(memory);
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

    fn after_cpu_write(&self, range: Range<usize>) {
        assert_eq!(range, HEAD..HEAD + 4);
        let mut memory = self.memory.lock().unwrap();
        for at in range {
            // SAFETY: a byte of a word that the reader has just stored, on this thread.
            memory[at] = unsafe { self.cache.add(at).read_volatile() };
        }
    }
}

/// Takes one frame, which has to be that of `position`, whole.
fn take(reader: &mut Reader<'_>, position: u64) {
    let mut batch = reader.read(1).unwrap();
    let lent = batch.settle(&[0; RECORD_LEN]).expect("a frame");
    assert_eq!(lent.seq(), Seq::from_position(position));
    let mark = lent.seq().get() as u8;
    assert!(lent.bytes()[16..].iter().all(|byte| *byte == mark));
}

#[test]
fn a_frame_is_seen_through_the_hooks_alone() {
    let (mut memory, layout) = ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let reader = memory.attach().unwrap().into_reader().unwrap();
    let mut reader = reader.with_cache_hooks(&device);
    let mut produced = 0;
    for lap in 0..3 {
        assert!(!device.has_credit(produced + SLOTS as u64));
        assert!(reader.read(4).unwrap().is_empty());
        for _ in 0..SLOTS {
            assert!(device.has_credit(produced), "lap {lap}");
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

#[test]
fn a_head_that_died_in_a_cache_reaches_the_device_by_the_next_reader() {
    let (mut memory, layout) = ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    for position in 0..2 {
        device.write(position);
    }
    let reader = memory.attach().unwrap().into_reader().unwrap();
    let mut reader = reader.with_cache_hooks(&device);
    (0..2).for_each(|position| take(&mut reader, position));
    // As if it had died before its last word was written back.
    device.memory.lock().unwrap()[HEAD..HEAD + 4].fill(0);
    assert!(!device.has_credit(5));
    // The device's driver had counted what it published.
    for copy in [256, 288] {
        memory.put(copy, 2);
    }
    let reader = memory.attach().unwrap().into_reader().unwrap();
    let _reader = reader.with_cache_hooks(&device);
    assert!(device.has_credit(5));
}

#[test]
fn how_far_a_device_is_that_laps_the_reader_is_seen_through_the_hooks_alone() {
    let (mut memory, layout) = free_running_ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let mut copies = vec![0; layout.copy_bytes()];
    let reader = memory
        .attach()
        .unwrap()
        .into_reader_with(&mut copies)
        .unwrap();
    let mut reader = reader.with_cache_hooks(&device);
    device.write(0);
    take(&mut reader, 0);
    // The slot that is due holds a later frame.
    (1..11).for_each(|position| device.write(position));
    take(&mut reader, 9);
    assert_eq!(reader.lapped(), 8);
    take(&mut reader, 10);
    // It is just being overwritten: only the device's word says by which frame.
    (11..19).for_each(|position| device.write(position));
    device.begin(19);
    take(&mut reader, 17);
    assert_eq!((reader.lapped(), reader.taken()), (14, 18));
}

/// The tests above rest on it: without the hooks nothing of the device is seen.
#[test]
fn without_the_hooks_nothing_is_seen() {
    let (mut memory, layout) = ring(SLOTS as u32, STRIDE as u32, SLOTS as u32);
    let device = Device::beside(&mut memory, layout);
    let mut reader = memory.attach().unwrap().into_reader().unwrap();
    device.write(0);
    assert!(reader.read(4).unwrap().is_empty());
}
