//! The exported functions. Each makes references of the caller's pointers, once, and calls safe code.
//!
//! What the unsafe blocks argue from is what `docs/embedding.md` asks of the caller, by name:
//!
//! * *Readable*: a pointer that is not null, with the length that goes with it, may be read until the call
//!   ends, and nobody writes there meanwhile. What a module points to (mask, corrections) stays so for
//!   as long as its engine is used.
//! * *Writable*: an output that is not null may be written until the call ends, and nobody else reads or
//!   writes there meanwhile.
//! * *Given*: the memory of a handle is the library's from `_init` until the last call with the handle.
//! * *Mapped*: a mapping may be read and written until the last call with a handle on it; what is asked
//!   of [`hitgate_ring::Region::create`], one writer and one reader above all, the caller keeps.
//!
//! What can be checked is checked first: null, alignment, lengths, sizes of structs, and whether a handle
//! is one. A handle lets one call in at a time, so that a second thread gets a status and no race.
#![allow(
    unsafe_code,
    reason = "pointers of C become references here, and nowhere else"
)]

mod callbacks;
mod engine;
mod handle;
mod info;
mod interlock;
mod memory;
mod path;
mod pointer;
mod ring;
mod writer;

pub use callbacks::Callbacks;
pub use engine::*;
pub use handle::Handle;
pub use info::*;
pub use interlock::*;
pub use path::*;
pub use ring::*;
pub use writer::*;

use crate::status::Status;

/// Runs `call`; a panic ends here.
fn guard(call: impl FnOnce() -> Result<(), Status>) -> Status {
    #[cfg(feature = "std")]
    let answer = {
        let call = std::panic::AssertUnwindSafe(call);
        std::panic::catch_unwind(call).unwrap_or(Err(Status::Panic))
    };
    #[cfg(not(feature = "std"))]
    let answer = call();
    answer.err().unwrap_or(Status::Ok)
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_at_the_interface() {
        assert_eq!(guard(|| panic!("a test")), Status::Panic);
        assert_eq!(guard(|| Err(Status::Full)), Status::Full);
        assert_eq!(guard(|| Ok(())), Status::Ok);
    }
}
