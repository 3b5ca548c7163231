//! Diffraction frames from a seed, with the number of Bragg spots that they show.
//!
//! A frame is physics from the cell to the readout: a random unit cell and orientation, the
//! reflections that meet the Ewald sphere with the crystal's size, mosaicity and the beam's
//! bandwidth, intensities after Wilson, scattering of solvent, windows, ice and air, the beam stop,
//! Poisson noise, and the response of the detector. Frame `index` of a seed is the same on every
//! machine and in every order, and a pixel's noise depends on its place alone, so that a map can
//! be made from the pixels of its window without the rest of the frame.

#![forbid(unsafe_code)]

mod background;
mod cell;
mod crystal;
mod detector;
mod draw;
mod instrument;
mod matter;
mod mix;
mod poisson;
mod render;
mod response;
mod scene;
mod simulator;
mod spot;
mod truth;

pub use detector::Detector;
pub use mix::{HELD_OUT, Mix};
pub use simulator::{Labelled, Scratch, Simulated, Simulator};
pub use truth::{Truth, significance};

/// Resolution of the water ring, ångström: spots count at a larger d.
pub const D_WATER: f64 = 3.4;
