//! AVX2: 256-bit registers, a dot product in three instructions.

use core::arch::x86_64::*;

use super::cpuid::Features;
use crate::{ACTIVATION_MAX, Simd};

/// Token of a CPU with AVX2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this CPU has AVX2 and the operating system saves its registers.
    pub fn detect() -> Option<Self> {
        Features::detect().avx2().then_some(Avx2(()))
    }
}

const N: usize = 8;

impl Simd for Avx2 {
    const NAME: &'static str = "avx2";
    const N: usize = N;
    const SUMS: usize = 8;
    type I32 = __m256i;
    type I8 = __m256i;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves AVX2.
        unsafe { inner(f) }
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> __m256i {
        let src = &src[..N];
        // SAFETY: `self` proves AVX2; `src` holds the 32 bytes read.
        unsafe { _mm256_loadu_si256(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> __m256i {
        let src = &src[..4 * N];
        // SAFETY: `self` proves AVX2; `src` holds the 32 bytes read.
        unsafe { _mm256_loadu_si256(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(a)) }
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> __m256i {
        let [a, b, c, d] = t.map(
            #[inline(always)]
            |t| {
                let t = &t[..N];
                // SAFETY: every x86-64 CPU has SSE2; `t` holds the 8 bytes read.
                unsafe { _mm_loadl_epi64(t.as_ptr().cast()) }
            },
        );
        // SAFETY: `self` proves AVX2.
        unsafe {
            let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd))
        }
    }

    #[inline(always)]
    fn dot4(self, acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // 127 · 128 · 2 = 32512 < 2¹⁵: the 16-bit sums of pairs cannot saturate.
        // SAFETY: `self` proves AVX2.
        unsafe {
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn requant(self, acc: __m256i, scale: &[f32], dst: &mut [u8]) {
        let (scale, dst) = (&scale[..N], &mut dst[..N]);
        // The lower clamp is the saturation of the two packs: whatever is negative, the conversion's
        // out-of-range value included, becomes 0.
        // SAFETY: `self` proves AVX2; `scale` holds the 32 bytes read, `dst` the 8 bytes written.
        unsafe {
            let x = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(scale.as_ptr()));
            let x = _mm256_min_ps(x, _mm256_set1_ps(f32::from(ACTIVATION_MAX)));
            let i = _mm256_cvtps_epi32(x);
            let i = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256::<1>(i));
            _mm_storel_epi64(dst.as_mut_ptr().cast(), _mm_packus_epi16(i, i));
        }
    }
}
