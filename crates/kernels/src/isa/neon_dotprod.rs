//! NEON with the dot product extension: sixteen multiply-adds in one instruction, `sdot`.

use core::arch::{aarch64::*, asm};

use super::hwcap::Features;
use super::neon::{Neon, split};
use crate::Simd;
use crate::simd::dots;

/// Token of a CPU with NEON and the dot product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeonDotprod(Neon);

impl NeonDotprod {
    /// The token, if this CPU has both.
    pub fn detect() -> Option<Self> {
        let neon = Neon::detect()?;
        Features::detect().dotprod.then_some(NeonDotprod(neon))
    }
}

/// `acc[n] += Σ a[n][i] · w[n][i]` for four channels. The intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut acc: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: *compiled for it*: the function is compiled for the instruction, which touches its operands only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {a:v}.16b",
            acc = inout(vreg) acc, a = in(vreg) a, w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// The same for quad `QUAD` of the four in `a`, which every channel shares.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot_quad<const QUAD: usize>(mut acc: int32x4_t, a: int8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: *compiled for it*: the function is compiled for the instruction, which touches its operands only.
    unsafe {
        asm!(
            "sdot {acc:v}.4s, {w:v}.16b, {a:v}.4b[{quad}]",
            acc = inout(vreg) acc, a = in(vreg) a, w = in(vreg) w, quad = const QUAD,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

impl NeonDotprod {
    /// One quad of `P` pixels by `R` registers.
    #[inline(always)]
    fn quads<const QUAD: usize, const P: usize, const R: usize>(
        self,
        sums: &mut [[<Self as Simd>::I32; R]; P],
        pixels: [int8x16_t; P],
        weights: &[i8],
    ) {
        for r in 0..R {
            let weights = self.weights(&weights[r * 4 * Self::N..]);
            for p in 0..P {
                for half in 0..2 {
                    let sum = &mut sums[p][r][half];
                    // SAFETY: *token*: `self` proves the dot product.
                    *sum = unsafe { sdot_quad::<QUAD>(*sum, pixels[p], weights[half]) };
                }
            }
        }
    }
}

impl Simd for NeonDotprod {
    const NAME: &'static str = "neon-dotprod";
    const N: usize = Neon::N;
    const SUMS: usize = Neon::SUMS;
    type I32 = [int32x4_t; 2];
    type I8 = [int8x16_t; 2];

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon,dotprod")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: *token*: `self` proves the dot product.
        unsafe { inner(f) }
    }

    taken_over!();

    #[inline(always)]
    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4] {
        weights.map(|weights| {
            weights.map(
                #[inline(always)]
                // SAFETY: *token*: `self` proves NEON.
                |w| unsafe { vreinterpretq_s8_s32(vshlq_n_s32::<8>(vreinterpretq_s32_s8(w))) },
            )
        })
    }

    #[inline(always)]
    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        // SAFETY: *token*: `self` proves the dot product.
        unsafe { [sdot(acc[0], a[0], w[0]), sdot(acc[1], a[1], w[1])] }
    }

    /// Sixteen inputs of a pixel are one load, and `sdot` takes its quads from there: no quad is
    /// copied to every channel first.
    #[inline(always)]
    fn tile<const P: usize, const R: usize>(
        self,
        pixels: [&[[u8; 4]]; P],
        weights: &[i8],
        bias: [Self::I32; R],
    ) -> [[Self::I32; R]; P] {
        let mut sums = [bias; P];
        let (sixteens, rest) = split::<4, P>(pixels);
        let mut panels = weights.chunks_exact(4 * R * 4 * Self::N);
        for (k, weights) in (0..sixteens[0].len()).zip(&mut panels) {
            // SAFETY: *token*: `self` proves NEON.
            let mut pixels = [unsafe { vdupq_n_s8(0) }; P];
            for p in 0..P {
                // SAFETY: *token*: `self` proves NEON; *fits*: four quads are the 16 bytes read.
                pixels[p] = unsafe { vld1q_s8(sixteens[p][k].as_ptr().cast()) };
            }
            let quad = R * 4 * Self::N;
            self.quads::<0, P, R>(&mut sums, pixels, weights);
            self.quads::<1, P, R>(&mut sums, pixels, &weights[quad..]);
            self.quads::<2, P, R>(&mut sums, pixels, &weights[2 * quad..]);
            self.quads::<3, P, R>(&mut sums, pixels, &weights[3 * quad..]);
        }
        dots(self, sums, rest, panels.remainder())
    }
}
