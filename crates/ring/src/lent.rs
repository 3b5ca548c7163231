//! A slot on loan to the link.

use crate::cache::CacheHooks;
use crate::region::Region;
use crate::seq::Seq;
use crate::sync::Ordering;

/// A frame's slot after its record is committed. Dropping it gives the slot back, from any
/// thread and in any order; until then the writer cannot reuse it.
#[must_use = "dropping it gives the slot back at once: say so with `drop`"]
pub struct Lent<'m> {
    region: Region<'m>,
    seq: Seq,
    hooks: &'m dyn CacheHooks,
}

impl<'m> Lent<'m> {
    pub(crate) fn new(region: Region<'m>, seq: Seq, hooks: &'m dyn CacheHooks) -> Self {
        Lent { region, seq, hooks }
    }

    /// The frame's number in the ring.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The whole slot; bytes 8..16 are the number.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: *one owner*: only `drop` sets the slot's bit, and it takes `&mut self`.
        unsafe { self.region.slot_bytes(self.seq) }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let position = self.seq.position();
        let start = self.region.layout().slot_at(position);
        let stride = self.region.layout().stride() as usize;
        self.hooks.after_cpu_read(start..start + stride);
        let (word, bit) = self.region.returned_bit(position);
        word.fetch_or(1 << bit, Ordering::Release);
    }
}

impl core::fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lent")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}
