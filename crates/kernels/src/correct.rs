//! Raw words of an integrating detector → counts: pedestals and gains, pixel by pixel.

use core::ops::Range;

use crate::Simd;

/// Gain stages of a pixel.
pub const STAGES: usize = 3;
/// Fractions of a photon that a corrected count has.
pub const PER_PHOTON: u32 = 16;
/// A pixel that is no measurement: counts are less.
pub const EXCLUDED: u32 = u32::MAX;

/// Pixels that the loops take at a time: a cache line of words.
const CHUNK: usize = 32;
/// The largest count: the largest f32 below 2³¹.
const LARGEST: f32 = 2_147_483_520.0;
/// What stands in an f16 for no number.
const NAN: u16 = 0x7E00;

/// The maps of a gain stage, a number for each pixel.
#[derive(Clone, Copy, Debug)]
pub struct StageMaps<'m> {
    /// In 1/4 ADU.
    pub pedestals: &'m [u16],
    /// In photons per ADU, as the bits of an f16; negative where the ADC falls with the signal.
    pub gains: &'m [u16],
}

impl StageMaps<'_> {
    /// Whether they are the same maps, in the same memory.
    pub fn are(&self, other: &StageMaps<'_>) -> bool {
        core::ptr::eq(self.pedestals, other.pedestals) && core::ptr::eq(self.gains, other.gains)
    }
}

/// Of each word `(ADC − pedestal) · gain` in 1/16 photon, rounded to f32 and then to an integer, both half
/// to even; less than nothing is nothing, and what does not fit 31 bits is the largest f32 that does.
/// [`EXCLUDED`] where the word names no stage, or the product is no number.
///
/// A word is little endian, with 14 bits of ADC and, in its two top bits, the gain stage that the pixel
/// had switched to: 00, 01 and 11; 10 is none. The maps and `counts` are as long as `words`. All maps are
/// read, whichever stages the pixels are in: the time does not depend on the frame.
pub fn correct<S: Simd>(
    s: S,
    words: &[[u8; 2]],
    stages: &[StageMaps<'_>; STAGES],
    counts: &mut [u32],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let (whole, rest) = words.as_chunks();
            let (counts, rest_counts) = counts[..words.len()].as_chunks_mut();
            let [first, second, third] = stages;
            let (a, b) = (first.chunks(whole.len()), second.chunks(whole.len()));
            let c = third.chunks(whole.len());
            for (n, (words, counts)) in whole.iter().zip(counts).enumerate() {
                chunk(words, [a.at(n), b.at(n), c.at(n)], counts);
            }
            if !rest.is_empty() {
                let at = whole.len() * CHUNK..words.len();
                let [a, b, c] = [first, second, third].map(|stage| stage.last(at.clone()));
                let mut counts = [0; CHUNK];
                let stages = [a.each_ref(), b.each_ref(), c.each_ref()];
                chunk(&padded(rest), stages, &mut counts);
                rest_counts.copy_from_slice(&counts[..rest.len()]);
            }
        },
    );
}

/// Pedestals and gains of so many pixels of a stage.
type Stage<'m> = [&'m [u16; CHUNK]; 2];

/// Whole chunks of a stage's maps.
struct Chunks<'m> {
    pedestals: &'m [[u16; CHUNK]],
    gains: &'m [[u16; CHUNK]],
}

impl<'m> Chunks<'m> {
    #[inline(always)]
    fn at(&self, n: usize) -> Stage<'m> {
        [&self.pedestals[n], &self.gains[n]]
    }
}

impl<'m> StageMaps<'m> {
    #[inline(always)]
    fn chunks(&self, n: usize) -> Chunks<'m> {
        Chunks {
            pedestals: &self.pedestals.as_chunks().0[..n],
            gains: &self.gains.as_chunks().0[..n],
        }
    }

    fn last(&self, pixels: Range<usize>) -> [[u16; CHUNK]; 2] {
        [self.pedestals, self.gains].map(|map| padded(&map[pixels.clone()]))
    }
}

/// The numbers of the last pixels, and zeros.
fn padded<T: Copy + Default>(rest: &[T]) -> [T; CHUNK] {
    let mut chunk = [T::default(); CHUNK];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
}

#[inline(always)]
fn chunk(words: &[[u8; 2]; CHUNK], [a, b, c]: [Stage<'_>; STAGES], counts: &mut [u32; CHUNK]) {
    let [mut adc, mut pedestals, mut gains] = [[0; CHUNK]; 3];
    for i in 0..CHUNK {
        let word = u16::from_le_bytes(words[i]);
        let mask = |stage| if word >> 14 == stage { u16::MAX } else { 0 };
        let [in_a, in_b, in_c] = [mask(0b00), mask(0b01), mask(0b11)];
        pedestals[i] = select(in_a, a[0][i], select(in_b, b[0][i], c[0][i]));
        let higher = select(in_b, b[1][i], select(in_c, c[1][i], NAN));
        gains[i] = select(in_a, a[1][i], higher);
        // In 1/4 ADU, as pedestals are; the stage is shifted out.
        adc[i] = word << 2;
    }
    for i in 0..CHUNK {
        let quarters = i32::from(adc[i]) - i32::from(pedestals[i]);
        counts[i] = count(quarters, sixteenths(gains[i]));
    }
}

/// Bit by bit, for of a branch the compiler makes one for each pixel.
#[inline(always)]
fn select(mask: u16, a: u16, b: u16) -> u16 {
    a & mask | b & !mask
}

/// Photons per ADU, as the bits of an f16, in sixteenths per quarter of an ADU.
#[inline(always)]
fn sixteenths(gain: u16) -> f32 {
    // Sign, exponent and fraction where an f32 has them. The exponents are 127 − 15 apart, and 2² makes the
    // unit: the product is exact, and has the numbers below the normal ones right too.
    const UNIT: f32 = f32::from_bits((127 + 127 - 15 + 2) << 23);
    let bits = (i32::from(gain as i16) << 13) as u32 & 0x8FFF_E000;
    let gain = f32::from_bits(bits) * UNIT;
    // An f16 with the largest exponent is infinite or no number.
    let special = bits & 0x0F80_0000 == 0x0F80_0000;
    f32::from_bits(gain.to_bits() | if special { 0x7F80_0000 } else { 0 })
}

/// The product, rounded.
#[inline(always)]
fn count(quarters: i32, gain: f32) -> u32 {
    let product = quarters as f32 * gain;
    let count = if product > 0.0 { product } else { 0.0 };
    let count = round_half_even(if count < LARGEST { count } else { LARGEST });
    if product.is_nan() { EXCLUDED } else { count }
}

/// The nearest integer of `0.0..=LARGEST`, ties to even.
#[inline(always)]
fn round_half_even(x: f32) -> u32 {
    // Adding 2³⁹ leaves the nearest multiple of 2¹⁶ in the low bits, adding 1.5 · 2²³ that of 1. What is left of
    // `x` is exact, and a multiple of 2¹⁶ is even.
    const HIGH: f32 = 549_755_813_888.0;
    const LOW: f32 = 12_582_912.0;
    let high = x + HIGH;
    let low = x - (high - HIGH) + LOW;
    (high.to_bits() << 16).wrapping_add(low.to_bits().wrapping_sub(LOW.to_bits()))
}
