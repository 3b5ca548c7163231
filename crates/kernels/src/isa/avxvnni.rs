//! AVX-VNNI: AVX2 with a dot product in one instruction, in the VEX form that client CPUs have too.

use core::arch::x86_64::*;

use super::avx2::Avx2;
use super::cpuid::Features;
use crate::Simd;

/// Token of a CPU with AVX2 and AVX-VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    /// The token, if this CPU has both extensions and the operating system saves their registers.
    pub fn detect() -> Option<Self> {
        let avx2 = Avx2::detect()?;
        Features::detect().avxvnni().then_some(AvxVnni(avx2))
    }
}

impl Simd for AvxVnni {
    const NAME: &'static str = "avxvnni";
    const N: usize = Avx2::N;
    const SUMS: usize = Avx2::SUMS;
    type I32 = __m256i;
    type I8 = __m256i;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,avxvnni")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves AVX2 and AVX-VNNI.
        unsafe { inner(f) }
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> __m256i {
        self.0.bias(src)
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> __m256i {
        self.0.weights(src)
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> __m256i {
        self.0.quad(a)
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> __m256i {
        self.0.taps(t)
    }

    #[inline(always)]
    fn columns(self, t: [&[u8]; 3]) -> [__m256i; 4] {
        self.0.columns(t)
    }

    #[inline(always)]
    fn place(n: usize) -> usize {
        Avx2::place(n)
    }

    #[inline(always)]
    fn dot4(self, acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(acc, a, w) }
    }

    #[inline(always)]
    fn requant(self, acc: __m256i, scale: &[f32], dst: &mut [u8]) {
        self.0.requant(acc, scale, dst);
    }

    #[inline(always)]
    fn requant_columns(self, acc: [__m256i; 4], scale: &[f32], dst: &mut [u8]) {
        self.0.requant_columns(acc, scale, dst);
    }

    #[inline(always)]
    fn spread(self, bits: u32, lanes: &mut [u16; 32]) {
        self.0.spread(bits, lanes);
    }

    #[inline(always)]
    fn gather(self, lanes: &[u16; 32]) -> u32 {
        self.0.gather(lanes)
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        self.0.prefetch(bytes);
    }

    #[inline(always)]
    fn counts(self, src: &[i16]) -> __m256i {
        self.0.counts(src)
    }

    #[inline(always)]
    fn larger(self, a: __m256i, b: __m256i) -> __m256i {
        self.0.larger(a, b)
    }

    #[inline(always)]
    fn threes(self, before: __m256i, at: __m256i, after: __m256i) -> [__m256i; 2] {
        self.0.threes(before, at, after)
    }

    #[inline(always)]
    fn less(self, sums: [__m256i; 2], counts: __m256i) -> [__m256i; 2] {
        self.0.less(sums, counts)
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        self.0.add(a, b)
    }

    #[inline(always)]
    fn max(self, a: __m256i, b: __m256i) -> __m256i {
        self.0.max(a, b)
    }

    #[inline(always)]
    fn store(self, a: __m256i, dst: &mut [i32]) {
        self.0.store(a, dst);
    }
}
