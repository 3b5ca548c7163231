//! Plain loops: what unknown CPUs and Miri run.

use core::ops::Range;

use crate::{ACTIVATION_MAX, Simd};

/// Token of the level that every CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar;

/// Channels a "register".
const N: usize = 8;

impl Simd for Scalar {
    const NAME: &'static str = "scalar";
    const N: usize = N;
    const SUMS: usize = 8;
    type I32 = [i32; N];
    type I8 = [[i8; 4]; N];

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> Self::I32 {
        core::array::from_fn(|n| src[n])
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> Self::I8 {
        let src = &src[..4 * N];
        core::array::from_fn(|n| [src[4 * n], src[4 * n + 1], src[4 * n + 2], src[4 * n + 3]])
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> Self::I8 {
        [a.map(|a| a as i8); N]
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> Self::I8 {
        let t = t.map(|t| &t[..N]);
        core::array::from_fn(|n| [t[0][n] as i8, t[1][n] as i8, t[2][n] as i8, t[3][n] as i8])
    }

    #[inline(always)]
    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4] {
        weights.map(|weights| weights.map(|[a, b, c, _]| [0, a, b, c]))
    }

    #[inline(always)]
    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        let mut sum = acc;
        for n in 0..N {
            for i in 0..4 {
                sum[n] += i32::from(a[n][i]) * i32::from(w[n][i]);
            }
        }
        sum
    }

    #[inline(always)]
    fn requant(self, acc: [Self::I32; 4], scale: [&[f32]; 4]) -> Self::I8 {
        // core has no `round_ties_even`. At 1.5 · 2²³ the floats are one apart, so that adding it
        // rounds half to even and leaves the integer in the low bits.
        const MAGIC: f32 = 12_582_912.0;
        let mut activations = [[0; 4]; N];
        for (i, a) in activations.as_flattened_mut().iter_mut().enumerate() {
            let x = acc[i / N][i % N] as f32 * scale[i / N][i % N];
            let x = x.clamp(0.0, f32::from(ACTIVATION_MAX));
            *a = ((x + MAGIC).to_bits() - MAGIC.to_bits()) as i8;
        }
        activations
    }

    #[inline(always)]
    fn put(self, activations: Self::I8, registers: Range<usize>, dst: &mut [u8]) {
        let activations = &activations.as_flattened()[registers.start * N..registers.end * N];
        for (dst, a) in dst[..activations.len()].iter_mut().zip(activations) {
            *dst = *a as u8;
        }
    }

    #[inline(always)]
    fn store(self, a: Self::I32, dst: &mut [i32]) {
        dst[..N].copy_from_slice(&a);
    }
}
