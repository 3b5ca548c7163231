#![allow(
    unsafe_code,
    reason = "the CUDA driver is a C library: this folder is all that calls it"
)]
//! A GPU by the CUDA driver, which is looked for when the program runs: [`Context`] is the device, [`Gpu`] memory and
//! recorded launches on it, [`Registered`] memory of this process that it reads by itself.

mod context;
mod gpu;
mod pinned;
mod registered;
mod rows;

pub use context::{Context, OpenError};
pub use gpu::{Gpu, Piece, Recorded, Step, Times};
pub use pinned::Pinned;
pub use registered::Registered;
pub use rows::Seen;

use std::fmt;

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;

/// What the driver refused, and how it calls that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    call: &'static str,
    status: CUresult,
}

impl Failed {
    fn at<T>(call: &'static str, status: CUresult) -> Result<T, Failed> {
        Err(Failed { call, status })
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { call, status } = self;
        write!(f, "the GPU failed: {call}: {status:?}")
    }
}

impl std::error::Error for Failed {}

/// Names the call that a status belongs to.
trait Of<T> {
    fn of(self, call: &'static str) -> Result<T, Failed>;
}

impl<T> Of<T> for Result<T, DriverError> {
    fn of(self, call: &'static str) -> Result<T, Failed> {
        self.map_err(|DriverError(status)| Failed { call, status })
    }
}
