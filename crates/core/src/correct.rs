//! Raw words of an integrating detector → photons: pedestals and gains, pixel by pixel.
//!
//! A JUNGFRAU word holds 14 bits of ADC and, in its two top bits, the gain stage that the pixel had
//! switched to: 00, 01 and 11 are G0, G1 and G2; 10 is no stage, such a pixel is excluded.

use half::f16;
use half::slice::HalfFloatSliceExt;
use hitgate_kernels::{EXCLUDED, Simd, correct};
pub use hitgate_kernels::{PER_PHOTON, STAGES, StageMaps};

/// The maps of one storage cell, a number for each pixel, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Correction<'m> {
    stages: [StageMaps<'m>; STAGES],
    pixels: usize,
}

impl<'m> Correction<'m> {
    /// Maps for `pixels` pixels: pedestals in 1/4 ADU, gains in photons per ADU (negative where the
    /// ADC falls with the signal, as in G1 and G2). `None` where a map is too short.
    pub fn new(
        pedestals: [&'m [u16]; STAGES],
        gains: [&'m [f16]; STAGES],
        pixels: usize,
    ) -> Option<Self> {
        let whole = pedestals.iter().all(|map| map.len() >= pixels)
            && gains.iter().all(|map| map.len() >= pixels);
        let stages = core::array::from_fn(|stage| StageMaps {
            pedestals: pedestals[stage],
            gains: gains[stage].reinterpret_cast(),
        });
        whole.then_some(Correction { stages, pixels })
    }

    /// Whether these are the same maps, in the same memory.
    pub fn is(&self, other: &Correction<'_>) -> bool {
        let mut both = self.stages.iter().zip(&other.stages);
        both.all(|(stage, other)| stage.are(other))
    }

    /// The maps of each stage; they may be longer than the pixels that they are for.
    pub const fn stages(&self) -> &[StageMaps<'m>; STAGES] {
        &self.stages
    }

    /// The pixels that the maps are for.
    pub const fn pixels(&self) -> usize {
        self.pixels
    }

    /// Of the words of pixel `first` and those after it `(ADC − pedestal) · gain` in 1/16 photon, rounded
    /// half to even; less than nothing is nothing. [`EXCLUDED`] where the word is excluded, or the pixel is
    /// beyond the maps.
    pub(crate) fn counts<S: Simd>(
        &self,
        s: S,
        first: usize,
        words: &[[u8; 2]],
        counts: &mut [u32],
    ) {
        let end = self.pixels.min(first + words.len()).max(first);
        let (words, beyond) = words.split_at(end - first);
        let (counts, excluded) = counts.split_at_mut(words.len());
        excluded[..beyond.len()].fill(EXCLUDED);
        let part = |map: &'m [u16]| map.get(first..end).unwrap_or_default();
        let stages = self.stages.map(|stage| StageMaps {
            pedestals: part(stage.pedestals),
            gains: part(stage.gains),
        });
        correct(s, words, &stages, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_kernels::Scalar;

    #[test]
    fn each_stage_has_its_pedestal_and_gain() {
        let pedestals: [&[u16]; 3] = [&[4000, 4002], &[40_000, 0], &[60_000, 0]];
        let gain = |g| [f16::from_f32(g), f16::NAN];
        let [g0, g1, g2] = [gain(0.25), gain(-0.5), gain(-8.0)];
        let correction = Correction::new(pedestals, [&g0, &g1, &g2], 2).unwrap();
        let count = |pixel, word: u16| {
            let mut count = [7];
            correction.counts(Scalar, pixel, &[word.to_le_bytes()], &mut count);
            count[0]
        };
        // 1010 − 1000 ADU, a quarter of a photon each: 2.5 photons.
        assert_eq!(count(0, 1010), 40);
        assert_eq!(count(0, 990), 0);
        assert_eq!(count(0, 0b01 << 14 | 9_990), 10 * 8);
        assert_eq!(count(0, 0b11 << 14 | 14_990), 10 * 128);
        assert_eq!(count(0, 0b10 << 14 | 1010), EXCLUDED);
        assert_eq!(count(1, 1010), EXCLUDED, "a gain that is no number");
        assert_eq!(count(2, 1010), EXCLUDED, "beyond the maps");
        assert_eq!(count(9, 1010), EXCLUDED, "far beyond them");
        let mut counts = [7; 3];
        let word = 1010u16.to_le_bytes();
        correction.counts(Scalar, 0, &[word; 3], &mut counts);
        assert_eq!(counts, [40, EXCLUDED, EXCLUDED]);
        assert!(Correction::new(pedestals, [&g0, &g1, &g2], 3).is_none());
    }
}
