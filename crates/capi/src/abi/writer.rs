//! A ring's writing end in the caller's memory.

use hitgate_core::frame::FrameHeader;

use super::guard;
use super::handle::{Handle, handle};
use super::memory::{Room, Size};
use super::pointer::{Out, reference, slice};
use super::ring::{attach, refused};
use crate::status::Status;
use crate::types::{Memory, Slot};
use crate::writer::Writer;

/// The memory that a writer needs.
///
/// # Safety
/// `memory` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_memory(memory: *mut Memory) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let memory = unsafe { Out::new(memory) }?;
        memory.set(size()?.memory());
        Ok(())
    })
}

/// Becomes the writing end of the ring in `mapping`, and goes on where an earlier writer stopped.
///
/// # Safety
/// `mapping` may be read and written for `mapping_len` bytes, and `memory` for `bytes`, until the last call
/// with the writer; the ring has no other writer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_init(
    mapping: *mut u8,
    mapping_len: usize,
    memory: *mut u8,
    bytes: usize,
    writer: *mut *mut Writer,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let writer = unsafe { Out::new(writer) }?;
        // SAFETY: *given*.
        let mut room = unsafe { Room::new(memory, bytes, size()?) }?;
        // SAFETY: *mapped*.
        let region = unsafe { attach(mapping, mapping_len) }?;
        let end = Writer::new(region.into_writer().map_err(refused)?);
        writer.set(room.value(Handle::new(end, ()))?.open());
        Ok(())
    })
}

/// The next free slot, to be filled and committed; the same one until then. HITGATE_STATUS_FULL where there
/// is none, which is counted as a stall, once a frame; a free-running ring is never full.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`; `slot` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_reserve(writer: *const Writer, slot: *mut Slot) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        // SAFETY: *writable*.
        let slot = unsafe { Out::new(slot) }?;
        slot.set(writer.enter()?.reserve()?);
        Ok(())
    })
}

/// Copies `len` bytes to the payload of the reserved slot, from its byte `offset` on: how a program fills a slot of a
/// free-running ring, where the reader may be looking at any time. Under credit `slot->payload` may be
/// filled as well.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`; `bytes` may be read for `len` bytes, and are no part of the ring. Under credit
/// nobody else writes to the slot meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_write(
    writer: *const Writer,
    offset: usize,
    bytes: *const u8,
    len: usize,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        // SAFETY: *readable*.
        let bytes = unsafe { slice(bytes, len) }?;
        writer.enter()?.write(offset, bytes)
    })
}

/// Hands the reserved slot to the reader, under `header`, which is sealed on the way.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`; `header` may be read. Nobody writes to the slot any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_commit(
    writer: *const Writer,
    header: *const FrameHeader,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        // SAFETY: *readable*; a header is numbers alone.
        let header = unsafe { reference(header) }?;
        writer.enter()?.commit(header).map(drop)
    })
}

/// Counts frames that the source gave up, so that they are missing by name and not in silence.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_lose(writer: *const Writer, frames: u64) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        writer.enter()?.lose(frames);
        Ok(())
    })
}

/// Tells the reader's side that this end is alive, in ms of the host's monotonic clock, wrapping: to be called a few times
/// a second, also where no frame comes. Nothing else does it: whoever reads tells by this a device that is silent from
/// one that is dead.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_heartbeat(writer: *const Writer, now_ms: u32) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        writer.enter()?.heartbeat(now_ms);
        Ok(())
    })
}

/// Says that no frame follows. The writer is no handle any more.
///
/// # Safety
/// `writer` is from `hitgate_writer_init`, and no call with it is at work.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_writer_close(writer: *const Writer) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let writer = unsafe { handle(writer) }?;
        writer.enter()?.close();
        writer.close();
        Ok(())
    })
}

fn size() -> Result<Size, Status> {
    Size::default().and::<Handle<Writer>>(1)
}
