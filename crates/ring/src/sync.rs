//! The one place that atomics come from, and the words and bytes of the mapping they live in.
//!
//! Under `cfg(loom)` the same ring runs on loom's atomics. Those cannot lie in a mapping, so there
//! the base address is that of a [`Shadow`], which holds a loom word for each shared word and
//! a loom cell for each slot's bytes, or two words where the ring is free-running. There an end may also die before any of its stores (`dies_after`).

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{Ordering, fence};
#[cfg(loom)]
pub(crate) use mortal::AtomicU32;
#[cfg(loom)]
pub use mortal::{dies_after, revive};

use core::marker::PhantomData;
use core::ptr::NonNull;

/// Orders reads after a number that a *device* wrote, not another CPU.
///
/// On aarch64 an acquire load orders this CPU against others of the inner shareable domain; a bus
/// master may sit outside of it, which is what `dmb oshld` covers. Elsewhere an acquire fence does.
///
/// The device's half: its stores to a slot's bytes must be visible before that of the number's low half. On PCIe
/// posted writes of one function keep their order unless they carry the relaxed-ordering attribute: the
/// write of the number must not, and the frame's must be of the same function and traffic class.
#[inline]
pub fn device_acquire() {
    #[cfg(all(target_arch = "aarch64", not(loom)))]
    // SAFETY: *everywhere*: a barrier touches no register and no memory; without `nomem` the compiler keeps
    // memory accesses on their side of it.
    unsafe {
        core::arch::asm!("dmb oshld", options(nostack, preserves_flags))
    };
    #[cfg(not(all(target_arch = "aarch64", not(loom))))]
    fence(Ordering::Acquire);
}

/// The mapping's memory: words that both sides share, bytes that one side owns at a time.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'m> {
    base: NonNull<u8>,
    _mapping: PhantomData<&'m AtomicU32>,
}

// SAFETY: *one owner*: `Memory` gives shared access to atomics, and raw pointers whose use each caller justifies.
unsafe impl Send for Memory<'_> {}
// SAFETY: *one owner*, as above.
unsafe impl Sync for Memory<'_> {}

/// Bytes of the widest word that every target loads and stores at once.
#[cfg(not(loom))]
const WORD: usize = size_of::<usize>();

#[cfg(not(loom))]
impl<'m> Memory<'m> {
    /// # Safety
    /// `base` is valid for `'m` for reads and writes up to every offset that is asked for.
    pub unsafe fn new(base: NonNull<u8>) -> Self {
        Memory {
            base,
            _mapping: PhantomData,
        }
    }

    /// The shared word at `offset`.
    ///
    /// # Safety
    /// `offset` is a multiple of 4 inside the mapping, and no `&mut` covers it.
    #[inline]
    pub unsafe fn word(&self, offset: usize) -> &'m AtomicU32 {
        // SAFETY: *in bounds* by this function's contract; the base is page-aligned.
        unsafe { self.base.add(offset).cast().as_ref() }
    }

    /// Loads the bytes from `offset` on, to which somebody may store meanwhile: in each word they are
    /// those of one time.
    ///
    /// # Safety
    /// `offset` and `into`'s length are multiples of [`WORD`], all of it is inside the mapping, and no
    /// `&mut` covers it.
    pub unsafe fn load(&self, offset: usize, into: &mut [u8]) {
        for (i, bytes) in into.chunks_exact_mut(WORD).enumerate() {
            // SAFETY: *in bounds*, by this function's contract.
            let word = unsafe { self.wide(offset + i * WORD) };
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
    }

    /// Stores `bytes` from `offset` on, while others may load them.
    ///
    /// # Safety
    /// The words that they lie in are inside the mapping, no reference covers them, and nobody else stores
    /// to them.
    pub unsafe fn store(&self, offset: usize, bytes: &[u8]) {
        let lead = (offset.next_multiple_of(WORD) - offset).min(bytes.len());
        let (lead, rest) = bytes.split_at(lead);
        // SAFETY: *in bounds*, by this function's contract.
        unsafe { self.store_within(offset, lead) };
        let words = rest.chunks_exact(WORD);
        let tail = words.remainder();
        let mut at = offset + lead.len();
        for bytes in words {
            let mut word = [0; WORD];
            word.copy_from_slice(bytes);
            // SAFETY: *in bounds*, by this function's contract.
            unsafe { self.wide(at) }.store(usize::from_ne_bytes(word), Ordering::Relaxed);
            at += WORD;
        }
        // SAFETY: *in bounds*, by this function's contract.
        unsafe { self.store_within(at, tail) };
    }

    /// Stores less than a word, all of it in one.
    ///
    /// # Safety
    /// As for [`Memory::store`].
    unsafe fn store_within(&self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let first = offset % WORD;
        // SAFETY: *in bounds*, by this function's contract.
        let word = unsafe { self.wide(offset - first) };
        let mut whole = word.load(Ordering::Relaxed).to_ne_bytes();
        whole[first..first + bytes.len()].copy_from_slice(bytes);
        word.store(usize::from_ne_bytes(whole), Ordering::Relaxed);
    }

    /// # Safety
    /// `offset` is a multiple of [`WORD`] inside the mapping, and no `&mut` covers it.
    unsafe fn wide(&self, offset: usize) -> &'m AtomicUsize {
        // SAFETY: *in bounds*, by this function's contract; the base is page-aligned.
        unsafe { self.base.add(offset).cast().as_ref() }
    }

    /// Bytes from `offset` on, to be read.
    ///
    /// # Safety
    /// `offset` is inside the mapping.
    #[inline]
    pub unsafe fn for_reading(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: *in bounds* by this function's contract.
        unsafe { self.base.add(offset) }
    }

    /// Bytes from `offset` on, to be written.
    ///
    /// # Safety
    /// `offset` is inside the mapping.
    #[inline]
    pub unsafe fn for_writing(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: *in bounds* by this function's contract.
        unsafe { self.base.add(offset) }
    }
}

/// Words whose writers may die: a process that is killed stores no more, and what it would have loaded and
/// kept to itself changes nothing for the others.
#[cfg(loom)]
mod mortal {
    use super::Ordering;
    use core::cell::Cell;
    use loom::sync::atomic;

    loom::thread_local! {
        /// Stores until this thread's process is dead.
        static LIFE: Cell<u32> = Cell::new(u32::MAX);
    }

    /// Kills this thread's process after so many more stores to the ring.
    pub fn dies_after(stores: u32) {
        LIFE.with(|life| life.set(stores));
    }

    /// Another process goes on in this thread; says whether the one before had died.
    pub fn revive() -> bool {
        LIFE.with(|life| life.replace(u32::MAX)) == 0
    }

    /// Whether a store takes place.
    fn may_store() -> bool {
        LIFE.with(|life| match life.get() {
            u32::MAX => true,
            0 => false,
            left => {
                life.set(left - 1);
                true
            }
        })
    }

    pub struct AtomicU32(atomic::AtomicU32);

    impl AtomicU32 {
        pub fn new(value: u32) -> Self {
            AtomicU32(atomic::AtomicU32::new(value))
        }

        pub fn load(&self, order: Ordering) -> u32 {
            self.0.load(order)
        }

        pub fn store(&self, value: u32, order: Ordering) {
            if may_store() {
                self.0.store(value, order);
            }
        }

        pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
            if may_store() {
                return self.0.fetch_or(bits, order);
            }
            self.0.load(Ordering::Relaxed)
        }

        pub fn fetch_and(&self, bits: u32, order: Ordering) -> u32 {
            if may_store() {
                return self.0.fetch_and(bits, order);
            }
            self.0.load(Ordering::Relaxed)
        }

        pub fn compare_exchange(
            &self,
            old: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            if may_store() {
                return self.0.compare_exchange(old, new, success, failure);
            }
            Err(self.0.load(Ordering::Relaxed))
        }
    }
}

#[cfg(loom)]
pub use shadow::Shadow;

#[cfg(loom)]
mod shadow {
    use super::{AtomicU32, Memory, Ordering};
    use crate::layout::{Layout, PAGE};
    use core::cell::Cell;
    use core::marker::PhantomData;
    use core::ops::Range;
    use core::ptr::NonNull;
    use loom::cell::UnsafeCell;
    use std::collections::BTreeMap;

    /// What stands for the mapping in a loom model: hand its address to `Region::create`.
    pub struct Shadow {
        words: BTreeMap<usize, AtomicU32>,
        slots: BTreeMap<usize, (UnsafeCell<()>, Box<[Cell<u8>]>)>,
        stride: usize,
    }

    impl Shadow {
        /// Zeroed memory for a ring of this layout.
        pub fn new(layout: &Layout) -> Self {
            let control = (0..1280).step_by(4);
            let bitmap = (PAGE..PAGE + layout.slots().div_ceil(32) as usize * 4).step_by(4);
            let records = layout.records_offset();
            let records = (records..records + layout.records() as usize * 64).step_by(4);
            let stride = layout.stride() as usize;
            let slots = (0..layout.slots() as usize).map(|i| layout.slots_offset() + i * stride);
            let numbers = slots.clone().flat_map(|at| [at + 8, at + 12]);
            let ends = slots.clone().flat_map(|at| [at + 16, at + stride - 4]);
            Shadow {
                words: (control.chain(bitmap).chain(records))
                    .chain(numbers.chain(ends))
                    .map(|at| (at, AtomicU32::new(0)))
                    .collect(),
                slots: slots
                    .map(|at| (at, (UnsafeCell::new(()), vec![Cell::new(0); stride].into())))
                    .collect(),
                stride,
            }
        }
    }

    impl<'m> Memory<'m> {
        pub unsafe fn new(base: NonNull<u8>) -> Self {
            Memory {
                base,
                _mapping: PhantomData,
            }
        }

        fn shadow(&self) -> &'m Shadow {
            // SAFETY: *mapped*: in a loom model the base is a `Shadow`'s address.
            unsafe { self.base.cast().as_ref() }
        }

        pub unsafe fn word(&self, offset: usize) -> &'m AtomicU32 {
            &self.shadow().words[&offset]
        }

        /// Of a free-running ring's slot the first and the last word are modelled.
        fn modelled(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &'m AtomicU32)> {
            let start = range.start;
            let words = self.shadow().words.range(range);
            words.map(move |(at, word)| (at - start, word))
        }

        pub unsafe fn load(&self, offset: usize, into: &mut [u8]) {
            for (at, word) in self.modelled(offset..offset + into.len()) {
                into[at..at + 4].copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
            }
        }

        pub unsafe fn store(&self, offset: usize, bytes: &[u8]) {
            for (at, word) in self.modelled(offset..offset + bytes.len()) {
                let value = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
                word.store(value, Ordering::Relaxed);
            }
        }

        fn bytes(&self, offset: usize, write: bool) -> NonNull<u8> {
            let shadow = self.shadow();
            let (at, (cell, bytes)) = shadow.slots.range(..=offset).next_back().unwrap();
            assert!(offset - at <= shadow.stride);
            if write {
                cell.with_mut(|_| ());
            } else {
                cell.with(|_| ());
            }
            // SAFETY: *in bounds*: `offset - at` is within the slot's bytes.
            unsafe { NonNull::from(&**bytes).cast().add(offset - at) }
        }

        pub unsafe fn for_reading(&self, offset: usize) -> NonNull<u8> {
            self.bytes(offset, false)
        }

        pub unsafe fn for_writing(&self, offset: usize) -> NonNull<u8> {
            self.bytes(offset, true)
        }
    }
}
