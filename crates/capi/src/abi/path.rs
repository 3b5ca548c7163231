//! The path over a ring in the caller's memory.

use hitgate_core::link::Record;
use hitgate_ring::Layout;
use spin::Mutex;

use super::callbacks::Callbacks;
use super::guard;
use super::handle::{Handle, handle};
use super::memory::{Room, Size};
use super::pointer::{Out, reference, versioned};
use super::ring::{attach, refused};
use crate::engine::Engine;
use crate::lendings::{Lendings, Place, worth_of};
use crate::path::{Path, Shared};
use crate::status::Status;
use crate::types::{Counters, Judged, Memory, Node};

/// The memory that a path over the ring in `mapping` needs: of a free-running ring it holds copies of frames, half as
/// many as there are slots.
///
/// # Safety
/// `mapping` may be read for `mapping_len` bytes, `memory` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_memory(
    mapping: *mut u8,
    mapping_len: usize,
    memory: *mut Memory,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let memory = unsafe { Out::new(memory) }?;
        // SAFETY: *mapped*; this region becomes no end.
        let region = unsafe { attach(mapping, mapping_len) }?;
        memory.set(size(region.layout())?.memory());
        Ok(())
    })
}

/// Becomes the reading end of the ring in `mapping`, judging by `engine`, and goes on where an earlier reader
/// stopped. `node` may go after the call; what it points to may not.
///
/// # Safety
/// `mapping` may be read and written for `mapping_len` bytes, and `memory` for `bytes`, until the last call
/// with the path; the ring has no other reader. `engine` is from `hitgate_engine_init` and outlives the path, or
/// the time that it judges for it.
/// `node` may be read, and its functions called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_init(
    mapping: *mut u8,
    mapping_len: usize,
    engine: *const Engine,
    node: *const Node,
    memory: *mut u8,
    bytes: usize,
    path: *mut *mut Path,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let path = unsafe { Out::new(path) }?;
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*.
        let node = unsafe { versioned(node) }?;
        if node.reserved != 0 {
            return Err(Status::Argument);
        }
        // SAFETY: *callable*, as this function demands.
        let callbacks = unsafe { Callbacks::new(node) };
        // SAFETY: *mapped*.
        let region = unsafe { attach(mapping, mapping_len) }?;
        let layout = *region.layout();
        // SAFETY: *given*.
        let mut room = unsafe { Room::new(memory, bytes, size(&layout)?) }?;
        let copies = room.zeros(layout.copy_bytes())?;
        let hooks = &*room.value(callbacks)?;
        let places = &*room.values(Lendings::places(&layout), || Ok(Mutex::new(None)))?;
        let lendings = &*room.value(Lendings::new(places))?;
        let mut reader = region.into_reader_with(copies).map_err(refused)?;
        if callbacks.has_cache_hooks() {
            reader = reader.with_cache_hooks(hooks);
        }
        let made = Path::new(reader, engine, lendings, callbacks)?;
        let shared = Shared::new(lendings, engine);
        path.set(room.value(Handle::new(made, shared))?.open());
        Ok(())
    })
}

/// Judges one frame and commits its record to the ring. A kept frame's slot is the caller's until
/// `hitgate_path_return`, or `hitgate_path_lose` where it was not sent; a dropped one went back.
/// HITGATE_STATUS_EMPTY where no frame is there, or half the slots are out; HITGATE_STATUS_END where none will come. Of
/// a free-running ring copies are judged, kept and out, and while all are out frames are lapped, which the device does
/// to a slow path anyway: `judged->lapped` tells of them.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `judged` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_step(path: *const Path, judged: *mut Judged) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *writable*.
        let judged = unsafe { Out::new(judged) }?;
        judged.set(path.enter()?.step(&path.shared)?);
        Ok(())
    })
}

/// Gives a kept frame's slot back, by `seq` of its record: in any order, on any thread but in no interrupt handler, also while another
/// one steps.
///
/// # Safety
/// `path` is from `hitgate_path_init`. Nobody reads the slot any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_return(path: *const Path, seq: u64) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        path.shared.lendings.give_back(seq)
    })
}

/// In place of `hitgate_path_return` where a kept frame was not sent, by `seq` of its record: like that on any thread but
/// in no interrupt handler, also while another one steps. `lost` is the record that says so, of verdict
/// HITGATE_VERDICT_LOST and cause HITGATE_LOST_LINK, for wherever the others go; the frame is counted in `lost_link`,
/// by class, and stays among the kept. The next step enters it and gives the slot back, as do the calls for the
/// counters and the end. Where the process dies before, the next path is given the frame again; of a free-running
/// ring the copy is gone then, and the frame counts as kept. HITGATE_STATUS_NO_SLOT where the slot is not out, or
/// lost already.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `lost` may be written. Nobody reads the slot any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_lose(
    path: *const Path,
    seq: u64,
    lost: *mut Record,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *writable*.
        let lost = unsafe { Out::new(lost) }?;
        lost.set(path.shared.lendings.lose(seq)?);
        Ok(())
    })
}

/// What a kept frame is worth to a link that cannot carry all of them, by its record: one of HITGATE_WORTH_*. The
/// lowest is given up first (`hitgate_path_lose`). HITGATE_STATUS_ARGUMENT where it is no record of a kept frame.
///
/// # Safety
/// `record` may be read, `worth` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_record_worth(record: *const Record, worth: *mut u32) -> Status {
    guard(|| {
        // SAFETY: *readable*; a record is numbers alone.
        let record = unsafe { reference(record) }?;
        // SAFETY: *writable*.
        let worth = unsafe { Out::new(worth) }?;
        worth.set(worth_of(record)?);
        Ok(())
    })
}

/// From the next step on `engine` judges: another model, calibration or policy, packed and proved by
/// `hitgate_engine_init`. It may be called on any thread, also while another one steps; each frame is judged by one
/// engine, whole, and its record says by which. Books and slots that are out stay; the interlock begins anew, in
/// shadow. The way back is the same call with the engine before. HITGATE_STATUS_MODULE where the modules are not
/// for the same frames as those of the engine that judges: they have another number, shape or pixel type, or one of them
/// has `compressed` 0 where it is 1 there, so that there is no way back once compressed frames may have come.
/// HITGATE_STATUS_BUSY where a call is at work in `engine`. Nothing has changed then.
///
/// # Safety
/// `path` is from `hitgate_path_init`, `engine` from `hitgate_engine_init`; the engine that judges stays until
/// `hitgate_path_engine` says another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_swap(path: *const Path, engine: *const Engine) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        path.shared.swap(engine)
    })
}

/// The engine that judges: once a step after `hitgate_path_swap` has taken the new one, the memory of the one
/// before is yours again. On any thread, also while another one steps.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `engine` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_engine(
    path: *const Path,
    engine: *mut *const Engine,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *writable*.
        let engine = unsafe { Out::new(engine) }?;
        engine.set(path.shared.judging().pointer().cast_const());
        Ok(())
    })
}

/// Tells the writer's side that this end is alive, in ms of the host's monotonic clock, wrapping.
///
/// # Safety
/// `path` is from `hitgate_path_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_heartbeat(path: *const Path, now_ms: u32) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        path.enter()?.heartbeat(now_ms);
        Ok(())
    })
}

/// The books of the ring, those that an earlier reader left included.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `counters` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_counters(
    path: *const Path,
    counters: *mut Counters,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *writable*.
        let counters = unsafe { Out::new(counters) }?;
        counters.set(path.enter()?.counters());
        Ok(())
    })
}

/// Stops in good order. The path is no handle any more; slots that are still out are read again by the
/// next reader. Of a free-running ring no frame is read twice: copies that are out are the only ones.
///
/// # Safety
/// `path` is from `hitgate_path_init`, and no call with it is at work.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_close(path: *const Path) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        path.enter()?.close();
        path.close();
        Ok(())
    })
}

/// In the order in which `hitgate_path_init` takes it.
fn size(layout: &Layout) -> Result<Size, Status> {
    Size::default()
        // First, as every slot of theirs is to be as aligned as the memory.
        .and::<u8>(layout.copy_bytes())?
        .and::<Callbacks>(1)?
        .and::<Place>(Lendings::places(layout))?
        .and::<Lendings>(1)?
        .and::<Handle<Path>>(1)
}
