//! The end that fills slots.

use crate::counters::Publisher;
use crate::error::{AttachError, RingError};
use crate::layout::{Layout, PRODUCER_COUNTERS, Policy, SLOT_BODY_OFFSET, SLOT_SEQ_OFFSET, at};
use crate::monitor::{Monitor, State};
use crate::region::{PRODUCER, Region};
use crate::seq::Seq;
use crate::sync::{Ordering, fence};
use core::ptr::NonNull;

/// The end that fills slots: a program, or the model of a device.
///
/// Invariant *one owner*, the writer's half: the slots of positions `head + slots > p >= tail` are the
/// writer's, where `head` is what the reader published; it stores to no other slot. The writer of a
/// free-running ring knows no head: every slot is its own at any time, and the reader's only to copy from.
pub struct Writer<'m> {
    region: Region<'m>,
    counters: Publisher<PRODUCER_COUNTERS>,
    /// Position of the next frame; also the number of frames produced.
    tail: u64,
    /// Low half of the head when it was last looked at: it can only have moved on since.
    head: u32,
    stalls: u64,
    lost: u64,
    /// The frame that is due has already been counted as stalled.
    stalled: bool,
}

/// A free slot. It is the reader's once committed; dropped, it stays free.
pub struct Slot<'w, 'm> {
    writer: &'w mut Writer<'m>,
}

impl<'m> Writer<'m> {
    pub(crate) fn new(region: Region<'m>) -> Result<Self, AttachError> {
        let (counters, [mut tail, stalls, lost, _]) = PRODUCER.take_over(&region);
        let head = region.control(at::HEAD).load(Ordering::Acquire);
        let contradiction = AttachError::Positions {
            produced: tail,
            head,
        };
        if tail >= Seq::MAX_POSITION {
            return Err(contradiction);
        }
        // An earlier writer may have died between publishing a frame and counting it.
        if region.is_published(tail) == Ok(true) {
            tail += 1;
        }
        let in_credit = (tail as u32).wrapping_sub(head) <= region.layout().slots();
        if region.layout().policy() == Policy::Credit && !in_credit {
            return Err(contradiction);
        }
        let mut writer = Writer {
            region,
            counters,
            tail,
            head,
            stalls,
            lost,
            stalled: false,
        };
        writer.publish_newest();
        writer.publish_counters();
        writer.set_state(State::Open);
        Ok(writer)
    }

    /// A free slot, or `None` when the ring is full: then the frame stalls, which is counted
    /// once a frame however often it is tried. A free-running ring is never full.
    ///
    /// # Errors
    /// [`RingError::Head`] when the head that the reader published is impossible. The ring counts as
    /// full for as long as it is.
    pub fn reserve(&mut self) -> Result<Option<Slot<'_, 'm>>, RingError> {
        if self.region.layout().policy() == Policy::Credit && !self.has_credit()? {
            self.count_stall();
            return Ok(None);
        }
        self.stalled = false;
        let (low, _) = self.region.slot_number(self.tail);
        // Whoever sees it gone from a free-running ring's slot sees how far the device is.
        low.store(0, Ordering::Release);
        // Whoever loads one of the bytes that follow must also see that the number is gone.
        fence(Ordering::Release);
        Ok(Some(Slot { writer: self }))
    }

    /// Whether the slot at `tail` came back.
    fn has_credit(&mut self) -> Result<bool, RingError> {
        let slots = self.region.layout().slots();
        let tail = self.tail as u32;
        if tail.wrapping_sub(self.head) >= slots {
            let head = self.region.control(at::HEAD).load(Ordering::Acquire);
            if tail.wrapping_sub(head) > slots {
                return Err(RingError::Head { head, tail });
            }
            self.head = head;
        }
        Ok(tail.wrapping_sub(self.head) < slots)
    }

    /// Counts frames that the source gave up, so that they are missing by name and not in silence.
    pub fn lose(&mut self, frames: u64) {
        self.lost = self.lost.saturating_add(frames);
        self.publish_counters();
    }

    /// Tells the reader's side that this end is alive, at `now_ms` of the host's monotonic clock.
    pub fn heartbeat(&self, now_ms: u32) {
        self.region
            .control(at::PRODUCER + at::HEARTBEAT)
            .store(now_ms, Ordering::Release);
    }

    /// Says that no frame follows: the count of those produced is final.
    pub fn close(&mut self) {
        self.set_state(State::Closed);
    }

    /// Frames committed, by this writer and those before it in the same session.
    pub const fn produced(&self) -> u64 {
        self.tail
    }

    /// Frames that found the ring full.
    pub const fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Frames that the source gave up.
    pub const fn lost_at_source(&self) -> u64 {
        self.lost
    }

    /// Shape and offsets of the ring.
    pub const fn layout(&self) -> &Layout {
        self.region.layout()
    }

    /// The number that the creator gave this run.
    pub const fn session(&self) -> u64 {
        self.region.session()
    }

    /// A view of both sides' counters.
    pub fn monitor(&self) -> Monitor<'m> {
        self.region.monitor()
    }

    fn count_stall(&mut self) {
        if !self.stalled {
            self.stalled = true;
            self.stalls = self.stalls.saturating_add(1);
            self.publish_counters();
        }
    }

    /// How far the device is, for a reader that it lapped.
    fn publish_newest(&self) {
        if self.region.layout().policy() == Policy::FreeRunning {
            self.region
                .control(at::NEWEST)
                .store(self.tail as u32, Ordering::Release);
        }
    }

    fn publish_counters(&mut self) {
        let values = [self.tail, self.stalls, self.lost, 0];
        self.counters.publish(&self.region, &values);
    }

    fn set_state(&self, state: State) {
        self.region
            .control(at::PRODUCER + at::STATE)
            .store(state as u32, Ordering::Release);
    }
}

impl Slot<'_, '_> {
    /// The number that the frame will have.
    pub const fn seq(&self) -> Seq {
        Seq::from_position(self.writer.tail)
    }

    /// Bytes in the slot.
    pub const fn stride(&self) -> usize {
        self.writer.layout().stride() as usize
    }

    /// Copies `bytes` to `offset` of the slot. What falls on bytes 8..16 is left out: they are
    /// the number, which [`Slot::commit`] stores.
    ///
    /// # Errors
    /// [`RingError::BeyondSlot`]; nothing was copied then.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), RingError> {
        let stride = self.stride();
        let end = offset.checked_add(bytes.len());
        let Some(end) = end.filter(|end| *end <= stride) else {
            return Err(RingError::BeyondSlot {
                offset,
                len: bytes.len(),
                stride,
            });
        };
        let in_lead = offset.min(SLOT_SEQ_OFFSET)..end.min(SLOT_SEQ_OFFSET);
        let in_body = offset.max(SLOT_BODY_OFFSET)..end.max(SLOT_BODY_OFFSET);
        let for_lead = &bytes[..in_lead.len()];
        let for_body = &bytes[bytes.len() - in_body.len()..];
        if let Some((lead, body)) = self.parts() {
            lead[in_lead].copy_from_slice(for_lead);
            let to = in_body.start - SLOT_BODY_OFFSET;
            body[to..to + for_body.len()].copy_from_slice(for_body);
        } else {
            let (region, tail) = (&self.writer.region, self.writer.tail);
            region.store(tail, in_lead.start, for_lead);
            region.store(tail, in_body.start, for_body);
        }
        Ok(())
    }

    /// Where byte `offset` of the slot lies, for a device that is told an address; `None` beyond the slot's end.
    /// Under credit it is the writer's until [`Slot::commit`]. Of a free-running ring the reader may be looking: a
    /// program stores nothing there but by [`Slot::write`].
    pub fn address(&mut self, offset: usize) -> Option<NonNull<u8>> {
        let (region, tail) = (&self.writer.region, self.writer.tail);
        (offset <= self.stride()).then(|| region.slot_for_writing(tail, offset))
    }

    /// The slot's bytes from 16 ([`SLOT_BODY_OFFSET`]) to its end; `None` in a free-running ring.
    pub fn body(&mut self) -> Option<&mut [u8]> {
        Some(self.parts()?.1)
    }

    /// The slot without its number: bytes 0..8, and from 16 on. `None` in a free-running ring, where the reader may
    /// look at any byte at any time: [`Slot::write`] copies there.
    pub fn parts(&mut self) -> Option<(&mut [u8; SLOT_SEQ_OFFSET], &mut [u8])> {
        if self.writer.layout().policy() == Policy::FreeRunning {
            return None;
        }
        let (region, tail) = (&self.writer.region, self.writer.tail);
        let lead = region.slot_for_writing(tail, 0).cast();
        let body = region.slot_for_writing(tail, SLOT_BODY_OFFSET);
        let len = self.stride() - SLOT_BODY_OFFSET;
        // SAFETY: *in bounds* and *one owner*: the slot at `tail` is the writer's until `commit`, the
        // `&mut self` makes these the only references to it, and they do not overlap. The
        // reader polls the number at any time, which is why it is in neither.
        unsafe {
            Some((
                &mut *lead.as_ptr(),
                core::slice::from_raw_parts_mut(body.as_ptr(), len),
            ))
        }
    }

    /// Hands the frame to the reader: the number is stored, its low half last.
    pub fn commit(self) -> Seq {
        let seq = self.seq();
        let (low, high) = self.writer.region.slot_number(self.writer.tail);
        high.store(seq.high(), Ordering::Relaxed);
        low.store(seq.low(), Ordering::Release);
        self.writer.tail += 1;
        self.writer.publish_newest();
        self.writer.publish_counters();
        seq
    }
}
