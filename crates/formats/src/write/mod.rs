//! Files out: frames as miniCBF or NPY, prepared maps as a growing NPY stack.

mod cbf;
mod npy;
mod whole;

pub use cbf::write_cbf;
pub use npy::{NpyStack, write_npy};
pub use whole::WholeFile;
