#![deny(unsafe_code)]
//! The preparation and the network on a GPU, with the CPU's bits.
//!
//! The kernels are `kernels/*.cuh`, written so that a CPU can run them too: the tests compile them with a plain C++
//! compiler and compare with the oracle and with [`hitgate_core::prep`], `==`. Here is what surrounds them and needs no GPU
//! either: [`memory`] places all that a device holds in one piece of its memory, [`network`] packs a model for the tensor
//! cores, [`preparation`] lays out masks, corrections and windows, and both say which kernels run on what, as [`Launch`]es.
//! [`driver`] is what calls CUDA's: all unsafe code is there. [`cuda`] is the GPU as the path sees it, [`fallback`] the CPU behind it, and [`maps`] the network alone, for many maps.

pub mod cuda;
pub mod driver;
pub mod fallback;
mod launch;
pub mod layers;
pub mod maps;
pub mod memory;
pub mod network;
mod pack;
pub mod preparation;
pub mod settings;
mod words;

pub use launch::{Launch, THREADS};
