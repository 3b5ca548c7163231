//! What lies in the caller's memory behind an opaque pointer.

use core::sync::atomic::{AtomicUsize, Ordering};

use hitgate_core::prep::Preparation;
use spin::{Mutex, MutexGuard};

use super::pointer::reference;
use crate::engine::Engine;
use crate::path::{Path, Shared};
use crate::status::Status;
use crate::writer::Writer;

/// What a handle can hold.
pub trait Body {
    /// Tells one kind from another, and from zeros. Odd, so that no address is equal to it.
    const MAGIC: usize;
    /// What calls may use while another is inside.
    type Shared: Sync;
}

impl Body for Engine {
    const MAGIC: usize = 0x6847_e091_u32 as usize;
    /// How its modules' frames are prepared.
    type Shared = &'static [Preparation<'static>];
}

impl Body for Path {
    const MAGIC: usize = 0x6847_9a7b_u32 as usize;
    type Shared = Shared;
}

impl Body for Writer {
    const MAGIC: usize = 0x6847_3717_u32 as usize;
    type Shared = ();
}

/// A body in the caller's memory, which one call at a time may enter.
#[repr(C)]
pub struct Handle<T: Body> {
    /// `MAGIC` and the handle's own address, so that a copy at another place is none.
    magic: AtomicUsize,
    /// What calls may use while another is inside.
    pub shared: T::Shared,
    body: Mutex<T>,
}

impl<T: Body> Handle<T> {
    /// A handle that is not open yet: it has no place.
    pub const fn new(body: T, shared: T::Shared) -> Self {
        Handle {
            magic: AtomicUsize::new(0),
            shared,
            body: Mutex::new(body),
        }
    }

    /// Opens the handle, which stays where it is from now on.
    pub fn open(&'static self) -> *mut T {
        let address = core::ptr::from_ref(self).addr();
        self.magic.store(T::MAGIC ^ address, Ordering::Release);
        self.pointer()
    }

    /// What the caller knows it by.
    pub const fn pointer(&'static self) -> *mut T {
        core::ptr::from_ref(self).cast::<T>().cast_mut()
    }

    /// No call gets in any more.
    pub fn close(&self) {
        self.magic.store(0, Ordering::Release);
    }

    /// The body, for one call.
    pub fn enter(&self) -> Result<MutexGuard<'_, T>, Status> {
        self.body.try_lock().ok_or(Status::Busy)
    }
}

/// The handle that `_init` gave out as `pointer`.
///
/// # Safety
/// *Given*, where it is such a handle; else the first word there is *readable*.
pub unsafe fn handle<T: Body>(pointer: *const T) -> Result<&'static Handle<T>, Status> {
    let handle = pointer.cast::<Handle<T>>();
    if !handle.is_null() && !handle.is_aligned() {
        return Err(Status::Misaligned);
    }
    // SAFETY: the first word is *readable*, and an atomic is nothing but a number.
    let magic = unsafe { reference(handle.cast::<AtomicUsize>()) }?;
    if magic.load(Ordering::Acquire) != T::MAGIC ^ handle.addr() {
        return Err(Status::Handle);
    }
    // SAFETY: *given*: only `open` makes that word, at a handle which does not move.
    Ok(unsafe { &*handle })
}

const _: () = assert!(core::mem::offset_of!(Handle<Writer>, magic) == 0);
const _: () = assert!(core::mem::offset_of!(Handle<Engine>, magic) == 0);
const _: () = assert!(core::mem::offset_of!(Handle<Path>, magic) == 0);
