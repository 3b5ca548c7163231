//! Memory for one inference at a time, given by the caller.

use super::format::ALIGN;

/// The caller's memory, from its first multiple of 64 on. One inference at a time uses it; nothing in
/// it outlasts an inference.
#[derive(Debug)]
pub struct Arena<'a> {
    bytes: &'a mut [u8],
}

impl<'a> Arena<'a> {
    /// Takes `memory`, of which a plan needs [`Memory::arena`](super::Memory::arena) bytes.
    pub fn new(memory: &'a mut [u8]) -> Self {
        Arena {
            bytes: aligned(memory),
        }
    }

    /// Cuts the memory into parts of `sizes` bytes, each at a multiple of 64; `None` if it is too
    /// small.
    pub(super) fn split<const N: usize>(&mut self, sizes: [usize; N]) -> Option<[&mut [u8]; N]> {
        let mut rest = &mut *self.bytes;
        let mut parts = sizes.map(|_| <&mut [u8]>::default());
        for (part, size) in parts.iter_mut().zip(sizes) {
            let room = size.checked_next_multiple_of(ALIGN)?;
            let (taken, behind) = rest.split_at_mut_checked(room)?;
            *part = &mut taken[..size];
            rest = behind;
        }
        Some(parts)
    }

    /// Bytes that there are, from the first multiple of 64 on.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// `memory` from its first multiple of 64 on; empty if there is none.
pub(super) fn aligned(memory: &mut [u8]) -> &mut [u8] {
    let skip = memory.as_ptr().align_offset(ALIGN);
    memory.get_mut(skip..).unwrap_or_default()
}
