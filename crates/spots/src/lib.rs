#![no_std]
#![forbid(unsafe_code)]
//! Bragg spots counted the classical way, by what stands out of the background.
//!
//! 1. [`rings`] sorts pixels into rings about the beam; once for a module.
//! 2. [`background`] tells mean and noise of each ring, in rounds that leave out what stands out.
//! 3. [`spot`] joins the pixels above the bar of their ring to spots, and measures each against the
//!    background close around it.
//! 4. [`counter`] is 1 to 3 over a frame, in the memory of its caller.
//!
//! This is the method of peakfinder8 in Cheetah (A. Barty et al., J. Appl. Cryst. 47, 1118–1131,
//! 2014), which CrystFEL has too, written anew from its description. Where it differs:
//! a threshold is counted from the mean of a ring and not from 0, so that the offset of a detector
//! does not matter; rings of few pixels are joined; and the signal to noise of a spot is that of its
//! sum, the noise growing with the root of its pixels.
//!
//! Nothing here allocates, and nothing panics on any frame.

pub mod background;
pub mod counter;
pub mod rings;
mod settings;
pub mod spot;

pub use background::Ring;
pub use counter::{Buffers, Counted, Counter, CounterError, Needs};
pub use rings::Beam;
pub use settings::Settings;
pub use spot::Spot;
