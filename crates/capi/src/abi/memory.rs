//! The caller's memory, cut into parts: measured first, then given.

use core::mem::MaybeUninit;

use crate::status::Status;
use crate::types::Memory;

/// The memory of every handle starts at a multiple of this.
const ALIGN: usize = 64;

/// How much memory the parts need so far.
#[derive(Clone, Copy, Default)]
pub struct Size(usize);

impl Size {
    /// With room for `count` of `T` behind.
    pub fn and<T>(self, count: usize) -> Result<Self, Status> {
        const { assert!(align_of::<T>() <= ALIGN) };
        let start = self.0.checked_next_multiple_of(align_of::<T>());
        let bytes = count.checked_mul(size_of::<T>());
        let end = start
            .zip(bytes)
            .and_then(|(start, bytes)| start.checked_add(bytes));
        end.map(Size).ok_or(Status::Argument)
    }

    /// What to ask of the caller.
    pub const fn memory(self) -> Memory {
        Memory {
            bytes: self.0,
            align: ALIGN,
        }
    }
}

/// The caller's memory, as far as it is not in use.
pub struct Room(&'static mut [MaybeUninit<u8>]);

impl Room {
    /// # Safety
    /// *Given*, if it is long enough.
    pub unsafe fn new(memory: *mut u8, bytes: usize, needed: Size) -> Result<Self, Status> {
        if memory.is_null() {
            return Err(Status::Null);
        }
        if !memory.addr().is_multiple_of(ALIGN) {
            return Err(Status::Misaligned);
        }
        if bytes < needed.0 || needed.0 > isize::MAX as usize {
            return Err(Status::Memory);
        }
        // SAFETY: *given*; the length was checked just now, and any byte may be uninitialised.
        let room = unsafe { core::slice::from_raw_parts_mut(memory.cast(), needed.0) };
        Ok(Room(room))
    }

    /// `count` values, one after another.
    pub fn values<T>(
        &mut self,
        count: usize,
        mut next: impl FnMut() -> Result<T, Status>,
    ) -> Result<&'static mut [T], Status> {
        let room = core::mem::take(&mut self.0);
        let skip = room.as_ptr().align_offset(align_of::<T>());
        let bytes = count.checked_mul(size_of::<T>()).ok_or(Status::Memory)?;
        let (_, room) = room.split_at_mut_checked(skip).ok_or(Status::Memory)?;
        let (part, rest) = room.split_at_mut_checked(bytes).ok_or(Status::Memory)?;
        self.0 = rest;
        let start = part.as_mut_ptr().cast::<T>();
        for i in 0..count {
            let value = next()?;
            // SAFETY: *given*: `part` is aligned for `T` and has room for `count` of them.
            unsafe { start.add(i).write(value) };
        }
        // SAFETY: *given*: all `count` values were written just now, to memory that is in no other part.
        Ok(unsafe { core::slice::from_raw_parts_mut(start, count) })
    }

    /// `count` zeros.
    pub fn zeros<T: Copy + From<u8>>(&mut self, count: usize) -> Result<&'static mut [T], Status> {
        self.values(count, || Ok(T::from(0)))
    }

    /// One value.
    pub fn value<T>(&mut self, value: T) -> Result<&'static mut T, Status> {
        let mut value = Some(value);
        let part = self.values(1, || value.take().ok_or(Status::Memory))?;
        part.first_mut().ok_or(Status::Memory)
    }
}
