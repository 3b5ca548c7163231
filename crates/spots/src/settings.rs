//! What stands out, and what of it is a spot.

/// What a pixel needs to stand out, and what stands out needs to be a spot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Counts above the mean of its ring that a pixel needs at least.
    pub threshold: f32,
    /// Multiple of the noise that is needed at least: by a pixel, above the mean of its ring in units
    /// of that ring's standard deviation; and by a spot, its counts above the local background in
    /// units of their standard deviation.
    pub snr: f32,
    /// Fewest pixels of a spot. One lets hot pixels and particles pass as spots.
    pub min_pixels: u32,
    /// Most pixels of a spot.
    pub max_pixels: u32,
    /// How far the local background reaches beyond a spot, in pixels.
    pub local_radius: u32,
}

impl Default for Settings {
    /// Pixels and local radius are those that CrystFEL's `indexamajig --peaks=peakfinder8` starts
    /// from. Its threshold of 800 is for detectors of thousands of units a photon; here it is two
    /// photons. A signal to noise of 8 instead of 5 calls more simulated frames what they are
    /// (`hitgate spots --simulate 160 --seed 1000 --tune`).
    fn default() -> Self {
        Settings {
            threshold: 2.0,
            snr: 8.0,
            min_pixels: 2,
            max_pixels: 200,
            local_radius: 3,
        }
    }
}

impl Settings {
    /// Whether they make the same pixels stand out, and spots of them but for the fewest pixels.
    pub(crate) fn differ_in_size_alone(&self, other: &Settings) -> bool {
        let sized = Settings {
            min_pixels: self.min_pixels,
            ..*other
        };
        *self == sized
    }
}
