//! A frame on loan to the link.

use crate::cache::CacheHooks;
use crate::copies::Held;
use crate::region::Region;
use crate::seq::Seq;
use crate::sync::Ordering;

/// A frame after its record is committed: its slot, or in a free-running ring its copy. Dropping it gives
/// the place back, from any thread and in any order; until then nobody reuses it.
#[must_use = "dropping it gives the slot back at once: say so with `drop`"]
pub struct Lent<'m> {
    region: Region<'m>,
    held: Held<'m>,
    hooks: &'m dyn CacheHooks,
}

impl<'m> Lent<'m> {
    pub(crate) fn new(region: Region<'m>, held: Held<'m>, hooks: &'m dyn CacheHooks) -> Self {
        Lent {
            region,
            held,
            hooks,
        }
    }

    /// The frame's number in the ring.
    pub const fn seq(&self) -> Seq {
        self.held.seq
    }

    /// Leaves the frame in its slot for good: whoever reads the ring next is given it again, with its record, and the
    /// writer waits until then. Of a free-running ring, whose slots wait for nobody, this is the copy's end, and its
    /// place's until there is another reader.
    pub const fn leave(self) {
        core::mem::forget(self);
    }

    /// The whole slot; bytes 8..16 are the number.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: *one owner* and *one copy*: only `drop` sets the bit, and it takes `&mut self`.
        unsafe { self.held.bytes(&self.region) }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // The slot of a frame that was copied went back with the copying.
        if self.held.copies.is_none() {
            let start = self.region.layout().slot_at(self.held.seq.position());
            let stride = self.region.layout().stride() as usize;
            self.hooks.after_cpu_read(start..start + stride);
        }
        let (word, bit) = self.region.returned_bit(self.held.place);
        word.fetch_or(1 << bit, Ordering::Release);
    }
}

impl core::fmt::Debug for Lent<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Lent")
            .field("seq", &self.held.seq)
            .finish_non_exhaustive()
    }
}
