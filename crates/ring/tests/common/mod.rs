//! Page-aligned memory for rings.
#![allow(dead_code, reason = "each test uses a part of it")]

use hitgate_ring::{Layout, PAGE, Policy, Reader, Region, Seq, Writer};
use std::ptr::NonNull;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; PAGE]);

/// Owns the memory of a ring; whoever holds it may also play the other side and write anything.
pub struct Memory {
    pages: Box<[Page]>,
    copies: Vec<u8>,
}

impl Memory {
    pub fn new(layout: &Layout) -> Self {
        let pages = layout.bytes().div_ceil(PAGE);
        Memory {
            pages: vec![Page([0; PAGE]); pages].into(),
            copies: vec![0; layout.copy_bytes()],
        }
    }

    pub fn base(&mut self) -> NonNull<u8> {
        NonNull::from(&mut *self.pages).cast()
    }

    pub fn len(&self) -> usize {
        self.pages.len() * PAGE
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: the pages are one run of initialised bytes.
        unsafe { std::slice::from_raw_parts_mut(self.base().as_ptr(), len) }
    }

    pub fn put(&mut self, offset: usize, value: u32) {
        self.bytes()[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub fn get(&mut self, offset: usize) -> u32 {
        let bytes = &self.bytes()[offset..offset + 4];
        u32::from_le_bytes(bytes.try_into().unwrap())
    }

    pub fn create(&mut self, layout: &Layout) -> Region<'_> {
        let (base, len) = (self.base(), self.len());
        // SAFETY: the memory is borrowed for as long as the region lives, and used by it alone.
        unsafe { Region::create(base, len, layout, 7) }.unwrap()
    }

    /// Attaches again without making the ring anew, as a process does that was restarted.
    pub fn attach(&mut self) -> Result<Region<'_>, hitgate_ring::AttachError> {
        let (base, len) = (self.base(), self.len());
        // SAFETY: as above.
        unsafe { Region::attach(base, len) }
    }

    pub fn ends(&mut self) -> (Writer<'_>, Reader<'_>) {
        let (base, len) = (self.base(), self.len());
        // SAFETY: as above.
        let region = unsafe { Region::attach(base, len) }.unwrap();
        region.split_with(&mut self.copies).unwrap()
    }
}

/// A ring of that shape, made.
pub fn ring(slots: u32, stride: u32, records: u32) -> (Memory, Layout) {
    let layout = Layout::new(slots, stride, records).unwrap();
    let mut memory = Memory::new(&layout);
    memory.create(&layout);
    (memory, layout)
}

/// A free-running ring of that shape, made.
pub fn free_running_ring(slots: u32, stride: u32, records: u32) -> (Memory, Layout) {
    let layout = Layout::new(slots, stride, records).unwrap();
    let layout = layout.with_policy(Policy::FreeRunning);
    let mut memory = Memory::new(&layout);
    memory.create(&layout);
    (memory, layout)
}

/// A record whose bytes from 8 on are `mark`.
pub fn record(mark: u8) -> [u8; 64] {
    [mark; 64]
}

/// Leaves the ring as if `produced` frames, at least as many as it has slots, had passed through it.
pub fn play_earlier_frames(memory: &mut Memory, layout: &Layout, produced: u64) {
    for position in produced - u64::from(layout.slots())..produced {
        let seq = Seq::from_position(position);
        let slot = (position % u64::from(layout.slots())) as usize * layout.stride() as usize;
        memory.put(layout.slots_offset() + slot + 8, seq.low());
        memory.put(layout.slots_offset() + slot + 12, seq.high());
    }
    for copy in [256, 288] {
        memory.put(copy, produced as u32);
        memory.put(copy + 4, (produced >> 32) as u32);
    }
    for copy in [640 + 24 * 8, 896 + 24 * 8] {
        memory.put(copy, produced as u32);
        memory.put(copy + 4, (produced >> 32) as u32);
    }
    memory.put(384, produced as u32);
    memory.put(1152, produced as u32);
}
