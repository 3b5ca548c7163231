//! The ring's writing end, for whoever plays the device.

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_ring::{RingError, SLOT_BODY_OFFSET, Writer as RingWriter};

use crate::status::Status;
use crate::types::Slot;

/// Fills slots in order, one at a time.
pub struct Writer {
    ring: RingWriter<'static>,
    reserved: bool,
}

impl Writer {
    /// A writer that has reserved nothing yet.
    pub const fn new(ring: RingWriter<'static>) -> Self {
        Writer {
            ring,
            reserved: false,
        }
    }

    /// The next free slot; the same one until it is committed.
    pub fn reserve(&mut self) -> Result<Slot, Status> {
        let slot = self.ring.reserve().map_err(damaged)?;
        let mut slot = slot.ok_or(Status::Full)?;
        let seq = slot.seq().get();
        let body = slot.body().ok_or(Status::Policy)?;
        let payload = body.get_mut(HEADER_LEN - SLOT_BODY_OFFSET..);
        let payload = payload.ok_or(Status::TooLarge)?;
        let slot = Slot {
            payload: payload.as_mut_ptr(),
            payload_room: payload.len(),
            seq,
        };
        self.reserved = true;
        Ok(slot)
    }

    /// Hands the reserved slot to the reader, under this header, which is sealed on the way.
    pub fn commit(&mut self, header: &FrameHeader) -> Result<u64, Status> {
        if !self.reserved {
            return Err(Status::NoSlot);
        }
        if header.slot_len() > self.ring.layout().stride() as usize {
            return Err(Status::TooLarge);
        }
        let slot = self.ring.reserve().map_err(damaged)?;
        let mut slot = slot.ok_or(Status::Full)?;
        slot.write(0, &header.seal()).map_err(damaged)?;
        self.reserved = false;
        Ok(slot.commit().get())
    }

    /// Counts frames that the source gave up.
    pub fn lose(&mut self, frames: u64) {
        self.ring.lose(frames);
    }

    /// Tells the reader's side that this end is alive.
    pub fn heartbeat(&self, now_ms: u32) {
        self.ring.heartbeat(now_ms);
    }

    /// Says that no frame follows.
    pub fn close(&mut self) {
        self.ring.close();
    }
}

/// What a ring error is to the caller.
pub const fn damaged(error: RingError) -> Status {
    match error {
        RingError::BeyondSlot { .. } => Status::TooLarge,
        _ => Status::RingDamaged,
    }
}
