//! Detector files in and out; geometry and masks.

pub mod geometry;
