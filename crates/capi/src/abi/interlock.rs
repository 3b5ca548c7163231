//! When a path or an engine may drop.

use hitgate_core::link::Record;

use super::guard;
use super::handle::handle;
use super::pointer::{Out, reference, versioned};
use crate::engine::Engine;
use crate::interlock::{Guarded, look_in, rules_in};
use crate::path::Path;
use crate::status::Status;
use crate::types::{Interlock, InterlockRules};

/// From now on the path drops only while few hits can be lost: in shadow, which keeps every frame, until
/// `hitgate_path_arm`. A path that was never guarded drops from its first frame on. HITGATE_STATUS_ARGUMENT where
/// a rule is out of its range, or the engine draws no sample. `rules` may go after the call. Frames that were judged
/// before are no evidence, whatever is still answered of them.
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
/// and in any order, but once a frame: a second answer is not counted where it comes soon after the first, and is not
/// told from others where many came in between. Of frames that were not drawn, that another engine judged, or that were
/// judged before `hitgate_path_guard`, none is counted.
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
        let (record, hit) = look_in(record, hit)?;
        path.enter()?.answered(&record, hit);
        Ok(())
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
        interlock.set(path.enter()?.seen());
        Ok(())
    })
}

/// As `hitgate_path_guard`, for `hitgate_engine_decide`: from now on it drops only while few hits can be lost, in shadow
/// until `hitgate_engine_arm`. A path that judges by the engine has an interlock of its own.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `rules` may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_guard(
    engine: *const Engine,
    rules: *const InterlockRules,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*.
        let rules = rules_in(unsafe { versioned(rules) }?)?;
        engine.enter()?.guard(rules)
    })
}

/// As `hitgate_path_looked`, to the engine that decided: by `model` and `config` the record says which that was. It does
/// not say when: leave out frames that were decided before `hitgate_engine_guard`, or before `hitgate_engine_swap` to
/// this engine.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `record` may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_looked(
    engine: *const Engine,
    record: *const Record,
    hit: u32,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*; a record is numbers alone.
        let record = unsafe { reference(record) }?;
        let (record, hit) = look_in(record, hit)?;
        engine.enter()?.answered(&record, hit);
        Ok(())
    })
}

/// As `hitgate_path_arm`.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_arm(engine: *const Engine) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        engine.enter()?.arm()
    })
}

/// As `hitgate_path_interlock`.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `interlock` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_interlock(
    engine: *const Engine,
    interlock: *mut Interlock,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *writable*.
        let interlock = unsafe { Out::new(interlock) }?;
        interlock.set(engine.enter()?.seen());
        Ok(())
    })
}
