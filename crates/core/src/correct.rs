//! Raw words of an integrating detector → photons: pedestals and gains, pixel by pixel.
//!
//! A JUNGFRAU word holds 14 bits of ADC and, in its two top bits, the gain stage that the pixel had
//! switched to: 00, 01 and 11 are G0, G1 and G2; 10 is no stage, such a pixel is excluded.

use half::f16;

/// Gain stages of a pixel.
pub const STAGES: usize = 3;
/// Fractions of a photon that a corrected count has.
pub const PER_PHOTON: u32 = 16;

/// The maps of one storage cell, a number for each pixel, row by row.
#[derive(Clone, Copy, Debug)]
pub struct Correction<'m> {
    pedestals: [&'m [u16]; STAGES],
    gains: [&'m [f16]; STAGES],
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
        whole.then_some(Correction { pedestals, gains })
    }

    /// `(ADC − pedestal) · gain` in 1/16 photon, rounded once, half to even; less than nothing is
    /// nothing. `None` where the word is excluded.
    pub(crate) fn count(&self, pixel: usize, word: u16) -> Option<u32> {
        let stage = match word >> 14 {
            0b00 => 0,
            0b01 => 1,
            0b11 => 2,
            _ => return None,
        };
        let pedestal = i32::from(*self.pedestals[stage].get(pixel)?);
        let gain = self.gains[stage].get(pixel)?.to_f32();
        let quarters = 4 * i32::from(word & 0x3FFF) - pedestal;
        // Powers of two are exact: the product with the gain is rounded, then the integer.
        let sixteenths = quarters as f32 * gain * (PER_PHOTON / 4) as f32;
        // NaN, of a dead pixel's gain, is no count either.
        (!sixteenths.is_nan()).then(|| round_half_even(sixteenths.clamp(0.0, 2_147_483_520.0)))
    }
}

/// Adding 2⁵² leaves the nearest integer in the low bits, ties to even.
fn round_half_even(x: f32) -> u32 {
    const MAGIC: f64 = 4_503_599_627_370_496.0;
    (f64::from(x) + MAGIC).to_bits() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_pedestal_and_gain() {
        let pedestals: [&[u16]; 3] = [&[4000, 4002], &[40_000, 0], &[60_000, 0]];
        let gain = |g| [f16::from_f32(g), f16::NAN];
        let [g0, g1, g2] = [gain(0.25), gain(-0.5), gain(-8.0)];
        let correction = Correction::new(pedestals, [&g0, &g1, &g2], 2).unwrap();
        // 1010 − 1000 ADU, a quarter of a photon each: 2.5 photons.
        assert_eq!(correction.count(0, 1010), Some(40));
        assert_eq!(correction.count(0, 990), Some(0));
        assert_eq!(correction.count(0, 0b01 << 14 | 9_990), Some(10 * 8));
        assert_eq!(correction.count(0, 0b11 << 14 | 14_990), Some(10 * 128));
        assert_eq!(correction.count(0, 0b10 << 14 | 1010), None);
        assert_eq!(correction.count(1, 1010), None, "a gain that is no number");
        assert_eq!(correction.count(2, 1010), None, "beyond the maps");
        assert!(Correction::new(pedestals, [&g0, &g1, &g2], 3).is_none());
    }

    #[test]
    fn rounding_is_half_to_even() {
        let rounded = [0.5, 1.5, 2.5, 2.4999, 2_147_483_520.0].map(round_half_even);
        assert_eq!(rounded, [0, 2, 2, 2, 2_147_483_520]);
    }
}
