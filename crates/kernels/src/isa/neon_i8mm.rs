//! NEON with 8-bit matrices: thirty-two multiply-adds in one instruction, `smmla`, for two pixels by
//! two channels by eight inputs.

use core::arch::{aarch64::*, asm};

use super::hwcap::Features;
use super::neon::split;
use super::neon_dotprod::NeonDotprod;
use crate::Simd;
use crate::simd::dots;

/// Token of a CPU with NEON, the dot product and the matrix product of 8-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeonI8mm(NeonDotprod);

impl NeonI8mm {
    /// The token, if this CPU has all three.
    pub fn detect() -> Option<Self> {
        let dotprod = NeonDotprod::detect()?;
        Features::detect().i8mm.then_some(NeonI8mm(dotprod))
    }
}

/// `acc[2 p + c] += Σ pixels[8 p + i] · channels[8 c + i]`. The intrinsic is not stable.
#[inline]
#[target_feature(enable = "neon,i8mm")]
fn smmla(mut acc: int32x4_t, pixels: int8x16_t, channels: int8x16_t) -> int32x4_t {
    // SAFETY: *compiled for it*: the function is compiled for the instruction, which touches its operands only.
    unsafe {
        asm!(
            "smmla {acc:v}.4s, {pixels:v}.16b, {channels:v}.16b",
            acc = inout(vreg) acc, pixels = in(vreg) pixels, channels = in(vreg) channels,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// Sums of two pixels: for each two channels of a register, those of one pixel and then the other's.
type Pair = [int32x4_t; 4];

/// Both pixels start at `bias`.
#[inline]
#[target_feature(enable = "neon")]
fn pair([a, b]: [int32x4_t; 2]) -> Pair {
    [
        vcombine_s32(vget_low_s32(a), vget_low_s32(a)),
        vcombine_s32(vget_high_s32(a), vget_high_s32(a)),
        vcombine_s32(vget_low_s32(b), vget_low_s32(b)),
        vcombine_s32(vget_high_s32(b), vget_high_s32(b)),
    ]
}

/// The sums of pixel `P` of the two.
#[inline]
#[target_feature(enable = "neon")]
fn unpair<const P: usize>(sums: Pair) -> [int32x4_t; 2] {
    let [a, b, c, d] = sums.map(|sums| vreinterpretq_s64_s32(sums));
    let (low, high) = match P {
        0 => (vzip1q_s64(a, b), vzip1q_s64(c, d)),
        _ => (vzip2q_s64(a, b), vzip2q_s64(c, d)),
    };
    [vreinterpretq_s32_s64(low), vreinterpretq_s32_s64(high)]
}

impl Simd for NeonI8mm {
    const NAME: &'static str = "neon-i8mm";
    const N: usize = NeonDotprod::N;
    const SUMS: usize = NeonDotprod::SUMS;
    const DEPTH: usize = 8;
    type I32 = [int32x4_t; 2];
    type I8 = [int8x16_t; 2];

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon,dotprod,i8mm")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: *token*: `self` proves the three extensions.
        unsafe { inner(f) }
    }

    taken_over!();

    #[inline(always)]
    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4] {
        self.0.lower(weights)
    }

    #[inline(always)]
    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        self.0.dot4(acc, a, w)
    }

    /// Pixels go in pairs; an odd one is paired with itself.
    #[inline(always)]
    fn tile<const P: usize, const R: usize>(
        self,
        pixels: [&[[u8; 4]]; P],
        weights: &[i8],
        bias: [Self::I32; R],
    ) -> [[Self::I32; R]; P] {
        let (eights, rest) = split::<2, P>(pixels);
        // SAFETY: *token*: `self` proves NEON.
        let start = bias.map(
            #[inline(always)]
            |bias| unsafe { pair(bias) },
        );
        let mut pairs = [start; P];
        let mut panels = weights.chunks_exact(8 * R * Self::N);
        for (k, weights) in (0..eights[0].len()).zip(&mut panels) {
            // SAFETY: *token*: `self` proves NEON.
            let mut pixels = [unsafe { vdup_n_s8(0) }; P];
            for p in 0..P {
                // SAFETY: *token*: `self` proves NEON; *fits*: two quads are the 8 bytes read.
                pixels[p] = unsafe { vld1_s8(eights[p][k].as_ptr().cast()) };
            }
            for r in 0..R {
                for c in 0..4 {
                    let channels = &weights[8 * r * Self::N + 16 * c..][..16];
                    for p in (0..P).step_by(2) {
                        let sum = &mut pairs[p / 2][r][c];
                        // SAFETY: *token*: `self` proves the matrix product; *fits*: `channels` holds the 16 bytes read.
                        unsafe {
                            let two = vcombine_s8(pixels[p], pixels[(p + 1).min(P - 1)]);
                            *sum = smmla(*sum, two, vld1q_s8(channels.as_ptr()));
                        }
                    }
                }
            }
        }
        let mut sums = [bias; P];
        for p in 0..P {
            for r in 0..R {
                let pair = pairs[p / 2][r];
                // SAFETY: *token*: `self` proves NEON.
                sums[p][r] = unsafe {
                    match p % 2 {
                        0 => unpair::<0>(pair),
                        _ => unpair::<1>(pair),
                    }
                };
            }
        }
        dots(self, sums, rest, panels.remainder())
    }
}
