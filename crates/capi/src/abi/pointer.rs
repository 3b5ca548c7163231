//! The caller's pointers → references, checked as far as that can be done.

use crate::status::Status;
use crate::types::{EngineConfig, InterlockRules, Module, Node};

/// Null, or no multiple of `T`'s alignment.
fn check<T>(pointer: *const T) -> Result<(), Status> {
    match pointer {
        null if null.is_null() => Err(Status::Null),
        pointer if pointer.is_aligned() => Ok(()),
        _ => Err(Status::Misaligned),
    }
}

/// # Safety
/// *Readable*, and every bit pattern is a `T`.
pub unsafe fn reference<'a, T>(pointer: *const T) -> Result<&'a T, Status> {
    check(pointer)?;
    // SAFETY: *readable*, not null and aligned.
    Ok(unsafe { &*pointer })
}

/// `len` values; a null pointer is an empty slice.
///
/// # Safety
/// *Readable*, and every bit pattern is a `T`.
pub unsafe fn slice<'a, T>(pointer: *const T, len: usize) -> Result<&'a [T], Status> {
    if len == 0 {
        return Ok(&[]);
    }
    check(pointer)?;
    let bytes = len.checked_mul(size_of::<T>());
    let end = bytes.and_then(|bytes| pointer.addr().checked_add(bytes));
    if end.is_none() || bytes.is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(Status::Argument);
    }
    // SAFETY: *readable*, not null and aligned; the length was checked just now.
    Ok(unsafe { core::slice::from_raw_parts(pointer, len) })
}

/// A struct that says its own size, in its first word.
pub trait Versioned {}
impl Versioned for Module {}
impl Versioned for EngineConfig {}
impl Versioned for Node {}
impl Versioned for InterlockRules {}

/// Such a struct, where its size is this version's.
///
/// # Safety
/// *Readable*, as far as its `struct_size` says.
pub unsafe fn versioned<'a, T: Versioned>(pointer: *const T) -> Result<&'a T, Status> {
    check(pointer)?;
    // SAFETY: *readable*: the first word is there whatever the version.
    let size = unsafe { pointer.cast::<u32>().read() };
    if size as usize != size_of::<T>() {
        return Err(Status::StructSize);
    }
    // SAFETY: *readable*; all fields are numbers, pointers, and functions that may be null.
    unsafe { reference(pointer) }
}

/// An output, written on success.
pub struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// # Safety
    /// *Writable*.
    pub unsafe fn new(pointer: *mut T) -> Result<Self, Status> {
        check(pointer)?;
        Ok(Out(pointer))
    }

    pub fn set(self, value: T) {
        // SAFETY: *writable*, not null and aligned.
        unsafe { self.0.write(value) }
    }
}
