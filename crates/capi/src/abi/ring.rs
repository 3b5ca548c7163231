//! A ring in a mapping of the caller's.

use core::ptr::NonNull;

use hitgate_ring::{AttachError, End, Layout, Policy, Region};

use super::guard;
use super::pointer::Out;
use crate::status::Status;
use crate::types::RingState;

/// `end`: the one that fills slots.
pub const RING_WRITER: u32 = 0;
/// `end`: the one that takes them.
pub const RING_READER: u32 = 1;

/// `policy`: a full ring stalls the writer, and nothing is lost.
pub const RING_CREDIT: u32 = 0;
/// `policy`: the writer waits for nobody, and overwrites the oldest frames, read or not.
pub const RING_FREE_RUNNING: u32 = 1;

/// The bytes of a mapping for a ring of `slots` slots of `slot_bytes` bytes (header and payload, a multiple
/// of 64), that remembers the last `records` records, at least as many as slots.
///
/// # Safety
/// `bytes` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_ring_bytes(
    slots: u32,
    slot_bytes: u32,
    records: u32,
    bytes: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let bytes = unsafe { Out::new(bytes) }?;
        bytes.set(layout(slots, slot_bytes, records)?.bytes());
        Ok(())
    })
}

/// Makes an empty ring in `mapping`, which starts at a multiple of 4096, whatever it held. `policy` is
/// HITGATE_RING_CREDIT or HITGATE_RING_FREE_RUNNING, `session` a number that no earlier run had.
///
/// # Safety
/// `mapping` may be read and written for `mapping_len` bytes, and nobody uses a ring there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_ring_create(
    mapping: *mut u8,
    mapping_len: usize,
    slots: u32,
    slot_bytes: u32,
    records: u32,
    policy: u32,
    session: u64,
) -> Status {
    guard(|| {
        let layout = layout(slots, slot_bytes, records)?.with_policy(policy_in(policy)?);
        let base = NonNull::new(mapping).ok_or(Status::Null)?;
        // SAFETY: *mapped*, and not in use.
        let region = unsafe { Region::create(base, mapping_len, &layout, session) };
        region.map(drop).map_err(refused)
    })
}

/// What both sides of the ring say of themselves; any process may ask.
///
/// # Safety
/// `mapping` may be read for `mapping_len` bytes, `state` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_ring_inspect(
    mapping: *mut u8,
    mapping_len: usize,
    state: *mut RingState,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let state = unsafe { Out::new(state) }?;
        // SAFETY: *mapped*; this region becomes no end.
        let region = unsafe { attach(mapping, mapping_len) }?;
        let monitor = region.monitor();
        let source = monitor.source().ok_or(Status::Busy)?;
        let consumer = monitor.consumer().ok_or(Status::Busy)?;
        state.set(RingState {
            slots: region.layout().slots(),
            slot_bytes: region.layout().stride(),
            session: region.session(),
            writer_owner: region.owner(End::Writer),
            reader_owner: region.owner(End::Reader),
            writer_state: source.state as u32,
            reader_state: consumer.state as u32,
            writer_heartbeat_ms: source.heartbeat_ms,
            reader_heartbeat_ms: consumer.heartbeat_ms,
            policy: region.layout().policy() as u32,
            reserved: 0,
            produced: source.produced,
            stalls: source.stalls,
            lost_at_source: source.lost_at_source,
            taken: consumer.taken,
            returned: consumer.returned,
            waits: consumer.waits,
            lapped: consumer.lapped,
        });
        Ok(())
    })
}

/// Puts `owner` in place of `expected` as the process that has an end of the ring (HITGATE_RING_WRITER or
/// HITGATE_RING_READER); 0 is nobody. HITGATE_STATUS_IN_USE where it is another by now. On Linux the owner is
/// the process id: hitgate's own programs see it, and refuse an end that a live process has.
///
/// # Safety
/// `mapping` may be read and written for `mapping_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_ring_claim(
    mapping: *mut u8,
    mapping_len: usize,
    end: u32,
    expected: u32,
    owner: u32,
) -> Status {
    guard(|| {
        let end = match end {
            RING_WRITER => End::Writer,
            RING_READER => End::Reader,
            _ => return Err(Status::Argument),
        };
        // SAFETY: *mapped*; this region becomes no end.
        let region = unsafe { attach(mapping, mapping_len) }?;
        match region.replace_owner(end, expected, owner) {
            true => Ok(()),
            false => Err(Status::InUse),
        }
    })
}

const _: () = assert!(
    RING_CREDIT == Policy::Credit as u32 && RING_FREE_RUNNING == Policy::FreeRunning as u32
);

/// The policy that a number stands for.
const fn policy_in(code: u32) -> Result<Policy, Status> {
    match code {
        RING_CREDIT => Ok(Policy::Credit),
        RING_FREE_RUNNING => Ok(Policy::FreeRunning),
        _ => Err(Status::Argument),
    }
}

fn layout(slots: u32, slot_bytes: u32, records: u32) -> Result<Layout, Status> {
    Layout::new(slots, slot_bytes, records).map_err(|_| Status::Argument)
}

/// The ring in a mapping.
///
/// # Safety
/// *Mapped*.
pub unsafe fn attach(mapping: *mut u8, mapping_len: usize) -> Result<Region<'static>, Status> {
    let base = NonNull::new(mapping).ok_or(Status::Null)?;
    // SAFETY: *mapped*.
    unsafe { Region::attach(base, mapping_len) }.map_err(refused)
}

/// What a refused mapping is to the caller.
pub const fn refused(error: AttachError) -> Status {
    match error {
        AttachError::Misaligned => Status::Misaligned,
        AttachError::TooShort { .. } | AttachError::Copies { .. } => Status::Memory,
        AttachError::Positions { .. } => Status::RingDamaged,
        AttachError::Busy => Status::Busy,
        _ => Status::Ring,
    }
}
