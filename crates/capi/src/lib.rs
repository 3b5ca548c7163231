//! The C interface: the path of `hitgate-core` for programs in C and C++, and for firmware.
//!
//! `include/hitgate.h` is its page for them, `docs/embedding.md` the conventions that it keeps. Here:
//!
//! * [`types`] are the structs, [`status`] the answers.
//! * [`engine`] scores and decides, frame by frame; [`path`] is the loop over a ring, [`writer`] the
//!   ring's other end. They are safe code over the caller's memory. [`interlock`] says when engine and path may drop.
//! * [`abi`] has the exported functions. All unsafe code is there: it makes references of the caller's
//!   pointers, once, and calls those above.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![deny(unsafe_code)]

pub mod abi;
pub mod engine;
pub mod interlock;
pub mod lendings;
mod module;
pub mod path;
pub mod status;
pub mod types;
pub mod writer;

/// Where there is no operating system nothing can end a program: the core stops here, its interrupts
/// as they are, for the watchdog to see.
#[cfg(all(not(feature = "std"), target_os = "none"))]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
