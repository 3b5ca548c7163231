//! NEON: 128-bit registers, taken in pairs; a dot product in four instructions, because two products
//! of u7 by i8 fit sixteen bits.

use core::arch::{aarch64::*, asm};
use core::ops::Range;
use core::slice::ChunksExact;

use super::hwcap::Features;
use crate::simd::dots;
use crate::{ACTIVATION_MAX, Simd};

/// Token of a CPU with NEON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The token, if this CPU has NEON: all that 64-bit ARM programs run on do.
    pub fn detect() -> Option<Self> {
        Features::detect().neon.then_some(Neon(()))
    }
}

const N: usize = 8;

/// A bit for each of sixteen lanes.
const BITS: [u16; 16] = [
    1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768,
];

impl Simd for Neon {
    const NAME: &'static str = "neon";
    const N: usize = N;
    const SUMS: usize = 8;
    type I32 = [int32x4_t; 2];
    type I8 = [int8x16_t; 2];

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "neon")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: *token*: `self` proves NEON.
        unsafe { inner(f) }
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> Self::I32 {
        let src = &src[..N];
        // SAFETY: *token*: `self` proves NEON; *fits*: `src` holds the 32 bytes read.
        unsafe { [vld1q_s32(src.as_ptr()), vld1q_s32(src.as_ptr().add(4))] }
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> Self::I8 {
        let src = &src[..4 * N];
        // SAFETY: *token*: `self` proves NEON; *fits*: `src` holds the 32 bytes read.
        unsafe { [vld1q_s8(src.as_ptr()), vld1q_s8(src.as_ptr().add(16))] }
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> Self::I8 {
        // SAFETY: *token*: `self` proves NEON.
        [unsafe { vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(a))) }; 2]
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> Self::I8 {
        let [a, b, c, d] = t.map(
            #[inline(always)]
            |t| {
                let t = &t[..N];
                // SAFETY: *token*: `self` proves NEON; *fits*: `t` holds the 8 bytes read.
                unsafe { vcombine_u8(vld1_u8(t.as_ptr()), vdup_n_u8(0)) }
            },
        );
        // SAFETY: *token*: `self` proves NEON.
        unsafe {
            let ab = vreinterpretq_u16_u8(vzip1q_u8(a, b));
            let cd = vreinterpretq_u16_u8(vzip1q_u8(c, d));
            let (low, high) = (vzip1q_u16(ab, cd), vzip2q_u16(ab, cd));
            [vreinterpretq_s8_u16(low), vreinterpretq_s8_u16(high)]
        }
    }

    #[inline(always)]
    fn dot4(self, mut acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        // 127 · 128 · 2 = 32512 < 2¹⁵: the 16-bit sums of pairs cannot overflow.
        for i in 0..2 {
            // SAFETY: *token*: `self` proves NEON.
            unsafe {
                let low = vmull_s8(vget_low_s8(a[i]), vget_low_s8(w[i]));
                let high = vmull_high_s8(a[i], w[i]);
                acc[i] = vpadalq_s16(acc[i], vpaddq_s16(low, high));
            }
        }
        acc
    }

    /// The taps stay where they are: each row is multiplied by its own weights, and nothing is unpacked.
    #[inline(always)]
    fn columns(self, t: [&[u8]; 4]) -> [Self::I8; 4] {
        t.map(
            #[inline(always)]
            |t| {
                let t = &t[..4 * N];
                // SAFETY: *token*: `self` proves NEON; *fits*: `t` holds the 32 bytes read.
                unsafe {
                    [
                        vreinterpretq_s8_u8(vld1q_u8(t.as_ptr())),
                        vreinterpretq_s8_u8(vld1q_u8(t.as_ptr().add(16))),
                    ]
                }
            },
        )
    }

    #[inline(always)]
    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4] {
        weights
    }

    #[inline(always)]
    fn tap_place(n: usize, i: usize) -> usize {
        4 * N * i + n
    }

    #[inline(always)]
    fn convolve<const ROW: usize>(
        self,
        [a, b, c, d]: [Self::I32; 4],
        window: [[Self::I8; 4]; 3],
        weights: &[[Self::I8; 4]; 3],
    ) -> [Self::I32; 4] {
        let [a, b] = self.nine::<ROW, 0>([a, b], &window, weights);
        let [c, d] = self.nine::<ROW, 1>([c, d], &window, weights);
        [a, b, c, d]
    }

    #[inline(always)]
    fn requant(self, acc: [Self::I32; 4], scale: [&[f32]; 4]) -> Self::I8 {
        let [a, b, c, d] = [0, 1, 2, 3].map(
            #[inline(always)]
            |r: usize| rounded(acc[r], scale[r]),
        );
        // SAFETY: *token*: `self` proves NEON.
        unsafe {
            let most = vdupq_n_u8(ACTIVATION_MAX);
            [
                vreinterpretq_s8_u8(vminq_u8(vcombine_u8(a, b), most)),
                vreinterpretq_s8_u8(vminq_u8(vcombine_u8(c, d), most)),
            ]
        }
    }

    #[inline(always)]
    fn put(self, [ab, cd]: Self::I8, registers: Range<usize>, dst: &mut [u8]) {
        let dst = &mut dst[..registers.len() * N];
        let to = dst.as_mut_ptr();
        // SAFETY: *token*: `self` proves NEON; *fits*: `dst` holds the bytes written, 8 a register.
        unsafe {
            let (ab, cd) = (vreinterpretq_u8_s8(ab), vreinterpretq_u8_s8(cd));
            match (registers.len(), registers.start) {
                (1, 0) => vst1_u8(to, vget_low_u8(ab)),
                (1, 1) => vst1_u8(to, vget_high_u8(ab)),
                (1, 2) => vst1_u8(to, vget_low_u8(cd)),
                (1, _) => vst1_u8(to, vget_high_u8(cd)),
                (2, 0) => vst1q_u8(to, ab),
                (2, _) => vst1q_u8(to, cd),
                _ => {
                    let to = dst[..4 * N].as_mut_ptr();
                    vst1q_u8(to, ab);
                    vst1q_u8(to.add(16), cd);
                }
            }
        }
    }

    #[inline(always)]
    fn store(self, a: Self::I32, dst: &mut [i32]) {
        let dst = &mut dst[..N];
        // SAFETY: *token*: `self` proves NEON; *fits*: `dst` holds the 32 bytes written.
        unsafe {
            vst1q_s32(dst.as_mut_ptr(), a[0]);
            vst1q_s32(dst.as_mut_ptr().add(4), a[1]);
        }
    }

    #[inline(always)]
    fn spread(self, bits: u32, lanes: &mut [u16; 32]) {
        let halves = lanes.as_chunks_mut::<16>().0.iter_mut();
        for (half, bits) in halves.zip([bits as u16, (bits >> 16) as u16]) {
            // SAFETY: *token*: `self` proves NEON; *fits*: `BITS` holds the 32 bytes read, `half` the 32 bytes written.
            unsafe {
                let bits = vdupq_n_u16(bits);
                let low = vtstq_u16(bits, vld1q_u16(BITS.as_ptr()));
                let high = vtstq_u16(bits, vld1q_u16(BITS.as_ptr().add(8)));
                vst1q_u16(half.as_mut_ptr(), low);
                vst1q_u16(half.as_mut_ptr().add(8), high);
            }
        }
    }

    #[inline(always)]
    fn gather(self, lanes: &[u16; 32]) -> u32 {
        let mut halves = [0; 2];
        for (bits, half) in halves.iter_mut().zip(lanes.as_chunks::<16>().0) {
            // SAFETY: *token*: `self` proves NEON; *fits*: `BITS` and `half` hold the 32 bytes read.
            *bits = unsafe {
                let low = vandq_u16(vld1q_u16(half.as_ptr()), vld1q_u16(BITS.as_ptr()));
                let high = vld1q_u16(half.as_ptr().add(8));
                let high = vandq_u16(high, vld1q_u16(BITS.as_ptr().add(8)));
                vaddvq_u16(vorrq_u16(low, high))
            };
        }
        u32::from(halves[1]) << 16 | u32::from(halves[0])
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        // SAFETY: *everywhere*: every 64-bit ARM CPU has the instruction, and it reads nothing. The intrinsic is not stable.
        unsafe {
            asm!(
                "prfm pldl2keep, [{line}]",
                line = in(reg) bytes.as_ptr(),
                options(readonly, nostack, preserves_flags),
            );
        }
    }

    #[inline(always)]
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: *token*: `self` proves NEON.
        unsafe { [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: *token*: `self` proves NEON.
        unsafe { [vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1])] }
    }

    #[inline(always)]
    fn max(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        // SAFETY: *token*: `self` proves NEON.
        unsafe { [vmaxq_s32(a[0], b[0]), vmaxq_s32(a[1], b[1])] }
    }

    #[inline(always)]
    fn splice(self, a: Self::I32, b: Self::I32, from: usize) -> Self::I32 {
        let quads = [a[0], a[1], b[0], b[1], b[1]];
        let at = from / 4;
        let part = |i: usize| {
            let (low, high) = (quads[at + i], quads[at + i + 1]);
            // SAFETY: *token*: `self` proves NEON.
            unsafe {
                match from % 4 {
                    1 => vextq_s32::<1>(low, high),
                    2 => vextq_s32::<2>(low, high),
                    3 => vextq_s32::<3>(low, high),
                    _ => low,
                }
            }
        };
        [part(0), part(1)]
    }

    #[inline(always)]
    fn counts(self, src: &[i16]) -> Self::I32 {
        let src = &src[..2 * N];
        // SAFETY: *token*: `self` proves NEON; *fits*: `src` holds the 32 bytes read.
        unsafe {
            [
                vreinterpretq_s32_s16(vld1q_s16(src.as_ptr())),
                vreinterpretq_s32_s16(vld1q_s16(src.as_ptr().add(8))),
            ]
        }
    }

    #[inline(always)]
    fn larger(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        let (a, b) = (pairs(a), pairs(b));
        // SAFETY: *token*: `self` proves NEON.
        unsafe {
            [
                vreinterpretq_s32_s16(vmaxq_s16(a[0], b[0])),
                vreinterpretq_s32_s16(vmaxq_s16(a[1], b[1])),
            ]
        }
    }

    #[inline(always)]
    fn threes(self, before: Self::I32, at: Self::I32, after: Self::I32) -> [Self::I32; 2] {
        let (at, after) = (pairs(at), pairs(after));
        // SAFETY: *token*: `self` proves NEON.
        unsafe {
            let two = [vpaddlq_s16(at[0]), vpaddlq_s16(at[1])];
            let even = vuzp1q_s16(after[0], after[1]);
            [
                // The odd count, shifted to where the even one was, is added in one instruction.
                [
                    vsraq_n_s32::<16>(two[0], before[0]),
                    vsraq_n_s32::<16>(two[1], before[1]),
                ],
                [
                    vaddw_s16(two[0], vget_low_s16(even)),
                    vaddw_high_s16(two[1], even),
                ],
            ]
        }
    }

    #[inline(always)]
    fn less(self, [even, odd]: [Self::I32; 2], counts: Self::I32) -> [Self::I32; 2] {
        let [low, high] = pairs(counts);
        // SAFETY: *token*: `self` proves NEON.
        unsafe {
            let (less_even, less_odd) = (vuzp1q_s16(low, high), vuzp2q_s16(low, high));
            [
                [
                    vsubw_s16(even[0], vget_low_s16(less_even)),
                    vsubw_high_s16(even[1], less_even),
                ],
                [
                    vsubw_s16(odd[0], vget_low_s16(less_odd)),
                    vsubw_high_s16(odd[1], less_odd),
                ],
            ]
        }
    }

    /// Two quads at a time: to a product of the first quad one of the second is added in sixteen bits,
    /// and two sums of a channel stay apart to the end. Two pixels by one register keep all of it in
    /// the thirty-two registers; with four pixels the compiler spills.
    #[inline(always)]
    fn tile<const P: usize, const R: usize>(
        self,
        pixels: [&[[u8; 4]]; P],
        weights: &[i8],
        bias: [Self::I32; R],
    ) -> [[Self::I32; R]; P] {
        let (eights, rest) = split::<2, P>(pixels);
        let panels = weights.chunks_exact(2 * R * 4 * N);
        let mut sums = [bias; P];
        for r in 0..R {
            for p in (0..P).step_by(2) {
                let (one, other) = (p, (p + 1).min(P - 1));
                let halves = self.halves::<R>(r, [eights[one], eights[other]], panels.clone());
                for (p, [a, b, c, d]) in [one, other].into_iter().zip(halves) {
                    let [low, high] = bias[r];
                    // SAFETY: *token*: `self` proves NEON.
                    sums[p][r] = unsafe {
                        [
                            vaddq_s32(low, vpaddq_s32(a, b)),
                            vaddq_s32(high, vpaddq_s32(c, d)),
                        ]
                    };
                }
            }
        }
        dots(self, sums, rest, panels.remainder())
    }
}

/// `acc · scale` as activations, but for those over the largest.
#[inline(always)]
fn rounded(acc: [int32x4_t; 2], scale: &[f32]) -> uint8x8_t {
    let scale = &scale[..N];
    // Conversion and narrowing saturate, and both bounds are integers: clamping after rounding gives what
    // clamping before it gives.
    // SAFETY: *token*: only methods of the token call this, NEON is proved; *fits*: `scale` holds the 32 bytes read.
    unsafe {
        let low = vmulq_f32(vcvtq_f32_s32(acc[0]), vld1q_f32(scale.as_ptr()));
        let high = vmulq_f32(vcvtq_f32_s32(acc[1]), vld1q_f32(scale.as_ptr().add(4)));
        let low = vqmovun_s32(vcvtnq_s32_f32(low));
        vqmovn_u16(vqmovun_high_s32(low, vcvtnq_s32_f32(high)))
    }
}

impl Neon {
    /// Nine taps of sixteen channels, from row `ROW` on, half `HALF` of a column. Two products fit sixteen
    /// bits; the ninth stays alone.
    #[inline(always)]
    fn nine<const ROW: usize, const HALF: usize>(
        self,
        sums: Sixteen,
        window: &[[[int8x16_t; 2]; 4]; 3],
        weights: &[[[int8x16_t; 2]; 4]; 3],
    ) -> Sixteen {
        let tap = |x: usize, y: usize| [window[x][ROW + y][HALF], weights[x][y][HALF]];
        let sums = two(sums, tap(0, 0), tap(0, 1));
        let sums = two(sums, tap(1, 0), tap(1, 1));
        let sums = two(sums, tap(2, 0), tap(2, 1));
        let sums = two(sums, tap(0, 2), tap(1, 2));
        one(sums, tap(2, 2))
    }

    /// Two sums for each channel of register `r`, for each of two pixels.
    #[inline(always)]
    fn halves<const R: usize>(
        self,
        r: usize,
        pixels: [Steps<'_, 2>; 2],
        panels: ChunksExact<'_, i8>,
    ) -> [[int32x4_t; 4]; 2] {
        // SAFETY: *token*: `self` proves NEON.
        let mut halves = [[unsafe { vdupq_n_s32(0) }; 4]; 2];
        for (k, weights) in (0..pixels[0].len()).zip(panels) {
            let (first, second) = weights.split_at(R * 4 * N);
            let (first, second) = (&first[r * 4 * N..][..4 * N], &second[r * 4 * N..][..4 * N]);
            for (sums, quads) in halves.iter_mut().zip([pixels[0][k], pixels[1][k]]) {
                // SAFETY: *token*: `self` proves NEON.
                let [a, b] = quads.map(
                    #[inline(always)]
                    |quad| unsafe { vreinterpret_s8_s32(vdup_n_s32(i32::from_le_bytes(quad))) },
                );
                for (c, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: *token*: `self` proves NEON; *fits*: `first` and `second` hold the 8 bytes read.
                    *sum = unsafe {
                        let pairs = vmull_s8(a, vld1_s8(first.as_ptr().add(8 * c)));
                        let pairs = vmlal_s8(pairs, b, vld1_s8(second.as_ptr().add(8 * c)));
                        vpadalq_s16(*sum, pairs)
                    };
                }
            }
        }
        halves
    }
}

/// Sums of sixteen channels.
type Sixteen = [[int32x4_t; 2]; 2];

/// Adds the products of sixteen channels with their weights.
#[inline(always)]
fn one([low, high]: Sixteen, [a, v]: [int8x16_t; 2]) -> Sixteen {
    // SAFETY: *token*: only methods of a token call this, NEON is proved.
    unsafe {
        let first = vmull_s8(vget_low_s8(a), vget_low_s8(v));
        [plus(low, first), plus(high, vmull_high_s8(a, v))]
    }
}

/// The same for two taps.
#[inline(always)]
fn two([low, high]: Sixteen, [a, v]: [int8x16_t; 2], [b, w]: [int8x16_t; 2]) -> Sixteen {
    // SAFETY: *token*: only methods of a token call this, NEON is proved.
    unsafe {
        let first = vmull_s8(vget_low_s8(a), vget_low_s8(v));
        let first = vmlal_s8(first, vget_low_s8(b), vget_low_s8(w));
        let second = vmlal_high_s8(vmull_high_s8(a, v), b, w);
        [plus(low, first), plus(high, second)]
    }
}

/// `acc[n] + a[n]`.
#[inline(always)]
fn plus(acc: [int32x4_t; 2], a: int16x8_t) -> [int32x4_t; 2] {
    // SAFETY: *token*: only methods of a token call this, NEON is proved.
    unsafe {
        [
            vaddw_s16(acc[0], vget_low_s16(a)),
            vaddw_high_s16(acc[1], a),
        ]
    }
}

/// The counts of two columns a lane.
#[inline(always)]
fn pairs([low, high]: [int32x4_t; 2]) -> [int16x8_t; 2] {
    // SAFETY: *token*: only methods of a token call this, NEON is proved.
    unsafe { [vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high)] }
}

/// A pixel, `K` quads a step.
type Steps<'a, const K: usize> = &'a [[[u8; 4]; K]];

/// Each pixel in steps of `K` quads, and the quads that are left.
#[inline(always)]
pub(super) fn split<const K: usize, const P: usize>(
    pixels: [&[[u8; 4]]; P],
) -> ([Steps<'_, K>; P], [&[[u8; 4]]; P]) {
    (
        pixels.map(|quads| quads.as_chunks().0),
        pixels.map(|quads| quads.as_chunks::<K>().1),
    )
}
