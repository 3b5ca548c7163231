//! What is known about the frames of a file.

use crate::{Geometry, Mask};

/// What the header, or a sidecar beside the file, says about its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// Where the beam meets the panel; `None` where a number is missing or impossible.
    pub geometry: Option<Geometry>,
    /// The detector's name.
    pub detector: Option<String>,
    /// Counts for one photon; 1 where nothing is said.
    pub gain: f64,
    /// Highest count that is still true. Higher ones are overloads: signal, never masked.
    pub saturation: Option<u32>,
    /// Count without any photon; 0 where nothing is said.
    pub offset: f64,
    /// Pixel values that mean "no value": gaps, dead pixels, lost packets.
    pub mask_values: Vec<i64>,
    /// Excluded pixels, where the file holds a mask.
    pub mask: Option<Mask>,
}
