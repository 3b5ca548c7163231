//! Where the bytes of a frame lie for whoever may look at them: in its slot, or in a copy.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::error::AttachError;
use crate::layout::{Layout, Policy};
use crate::region::Region;
use crate::seq::Seq;

/// Memory for copies of a free-running ring's frames, which the reader's side gave.
///
/// Invariant *one copy*: the bytes of a place are the reader's until it settles their frame; then they are the
/// [`Lent`](crate::Lent)'s until it sets the place's bit in the returned-bitmap, after its last reference to
/// them is gone. The reader fills no place that is out (`Loans`).
#[derive(Clone, Copy)]
pub(crate) struct Copies<'m> {
    base: NonNull<u8>,
    _memory: PhantomData<&'m mut [u8]>,
}

// SAFETY: *one copy*: whichever thread looks at a place's bytes, nobody stores to them meanwhile.
unsafe impl Send for Copies<'_> {}
// SAFETY: *one copy*, as above.
unsafe impl Sync for Copies<'_> {}

impl<'m> Copies<'m> {
    /// The places of a ring of this layout in `memory`; `None` under credit, which needs none.
    pub fn new(memory: &'m mut [u8], layout: &Layout) -> Result<Option<Self>, AttachError> {
        if layout.policy() == Policy::Credit {
            return Ok(None);
        }
        let (len, needed) = (memory.len(), layout.copy_bytes());
        if len < needed {
            return Err(AttachError::Copies { len, needed });
        }
        Ok(Some(Copies {
            base: NonNull::from(memory).cast(),
            _memory: PhantomData,
        }))
    }

    /// The bytes of a place, to be read.
    ///
    /// # Safety
    /// *One copy*: `place` is one of the layout's, and nobody fills it for `'b`.
    unsafe fn bytes<'b>(self, layout: &Layout, place: u32) -> &'b [u8]
    where
        'm: 'b,
    {
        let stride = layout.stride() as usize;
        // SAFETY: *in bounds*: the memory has room for all places (`new`), and was initialised when it was given.
        unsafe {
            let start = self.base.add(place as usize * stride);
            core::slice::from_raw_parts(start.as_ptr(), stride)
        }
    }

    /// The bytes of a place, to be filled.
    ///
    /// # Safety
    /// *One copy*: `place` is one of the layout's, and not out for `'b`.
    pub unsafe fn place<'b>(self, layout: &Layout, place: u32) -> &'b mut [u8]
    where
        'm: 'b,
    {
        let stride = layout.stride() as usize;
        // SAFETY: *in bounds*: the memory has room for all places (`new`); *one copy*: it is nobody else's by this
        // function's contract.
        unsafe {
            let start = self.base.add(place as usize * stride);
            core::slice::from_raw_parts_mut(start.as_ptr(), stride)
        }
    }
}

/// A frame that the reader's side has, and where.
#[derive(Clone, Copy)]
pub(crate) struct Held<'m> {
    pub seq: Seq,
    /// Its place, of the slots or of the copies.
    pub place: u32,
    pub copies: Option<Copies<'m>>,
}

impl<'m> Held<'m> {
    /// The whole slot; bytes 8..16 are the number.
    ///
    /// # Safety
    /// Under credit, *one owner* (see [`Reader`](crate::Reader)), in a free-running ring *one copy*: the
    /// frame's place is the caller's for `'b`, and its bit is not set.
    pub unsafe fn bytes<'b>(&self, region: &Region<'m>) -> &'b [u8]
    where
        'm: 'b,
    {
        match self.copies {
            // SAFETY: *one owner*, by this function's contract.
            None => unsafe { region.slot_bytes(self.seq) },
            // SAFETY: *one copy*, by this function's contract.
            Some(copies) => unsafe { copies.bytes(region.layout(), self.place) },
        }
    }
}
