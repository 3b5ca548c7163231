//! The ring's writing end, for whoever plays the device.

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_ring::{RingError, Slot as RingSlot, Writer as RingWriter};

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
        let payload = slot.address(HEADER_LEN).ok_or(Status::TooLarge)?;
        let slot = Slot {
            payload: payload.as_ptr(),
            payload_room: slot.stride() - HEADER_LEN,
            seq: slot.seq().get(),
        };
        self.reserved = true;
        Ok(slot)
    }

    /// Copies `bytes` to the payload of the reserved slot, from its byte `offset` on.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Status> {
        let at = HEADER_LEN.checked_add(offset).ok_or(Status::TooLarge)?;
        self.reserved_slot()?.write(at, bytes).map_err(damaged)
    }

    /// Hands the reserved slot to the reader, under this header, which is sealed on the way.
    pub fn commit(&mut self, header: &FrameHeader) -> Result<u64, Status> {
        let mut slot = self.reserved_slot()?;
        if header.slot_len() > slot.stride() {
            return Err(Status::TooLarge);
        }
        slot.write(0, &header.seal()).map_err(damaged)?;
        let seq = slot.commit().get();
        self.reserved = false;
        Ok(seq)
    }

    /// The slot that was reserved, where one is.
    fn reserved_slot(&mut self) -> Result<RingSlot<'_, 'static>, Status> {
        if !self.reserved {
            return Err(Status::NoSlot);
        }
        let slot = self.ring.reserve().map_err(damaged)?;
        slot.ok_or(Status::Full)
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
