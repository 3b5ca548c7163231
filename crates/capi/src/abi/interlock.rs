//! When a path may drop.

use hitgate_core::interlock::Rules;
use hitgate_core::link::Record;

use super::guard;
use super::handle::handle;
use super::pointer::{Out, reference, versioned};
use crate::path::Path;
use crate::status::Status;
use crate::types::{Interlock, InterlockRules};

/// From now on the path drops only while few hits can be lost: in shadow, which keeps every frame, until
/// `hitgate_path_arm`. A path that was never guarded drops from its first frame on. HITGATE_STATUS_ARGUMENT where
/// a rule is out of its range, or the engine draws no sample. `rules` may go after the call.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `rules` may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_guard(
    path: *const Path,
    rules: *const InterlockRules,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *readable*.
        let rules = rules_in(unsafe { versioned(rules) }?)?;
        path.enter()?.guard(rules)
    })
}

/// The answer of a second look at a frame whose record has HITGATE_REASON_SAMPLE: whether it is a `hit`, 1 or 0. Later
/// and in any order; of frames that were not drawn, or that another engine judged, it is not counted.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `record` may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_looked(
    path: *const Path,
    record: *const Record,
    hit: u32,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *readable*; a record is numbers alone.
        let record = unsafe { reference(record) }?;
        let hit = match hit {
            0 => false,
            1 => true,
            _ => return Err(Status::Argument),
        };
        path.enter()?.looked(record, hit)
    })
}

/// Lets the path drop, if second looks have shown that few hits are lost; else HITGATE_STATUS_NOT_ARMED, and
/// `hitgate_path_interlock` says what is missing. It disarms itself: arm it again and again, a few times a second.
///
/// # Safety
/// `path` is from `hitgate_path_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_arm(path: *const Path) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        path.enter()?.arm()
    })
}

/// Whether the path may drop, and what was seen since it was guarded, or since another engine judges.
///
/// # Safety
/// `path` is from `hitgate_path_init`; `interlock` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_path_interlock(
    path: *const Path,
    interlock: *mut Interlock,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let path = unsafe { handle(path) }?;
        // SAFETY: *writable*.
        let interlock = unsafe { Out::new(interlock) }?;
        interlock.set(path.enter()?.interlock());
        Ok(())
    })
}

fn rules_in(rules: &InterlockRules) -> Result<Rules, Status> {
    let max_loss = u16::try_from(rules.max_loss).map_err(|_| Status::Argument)?;
    let strays = u8::try_from(rules.strays).map_err(|_| Status::Argument)?;
    match max_loss > 0 && rules.window > 0 && strays <= 64 {
        true => Ok(Rules {
            max_loss,
            window: rules.window,
            strays,
        }),
        false => Err(Status::Argument),
    }
}
