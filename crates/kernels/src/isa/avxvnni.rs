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
        // SAFETY: *token*: `self` proves AVX2 and AVX-VNNI.
        unsafe { inner(f) }
    }

    taken_over!();

    #[inline(always)]
    fn columns(self, t: [&[u8]; 4]) -> [__m256i; 4] {
        self.0.columns(t)
    }

    #[inline(always)]
    fn lower(self, weights: [__m256i; 4]) -> [__m256i; 4] {
        self.0.lower(weights)
    }

    #[inline(always)]
    fn place(n: usize) -> usize {
        Avx2::place(n)
    }

    #[inline(always)]
    fn dot4(self, acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // SAFETY: *token*: `self` proves AVX-VNNI.
        unsafe { _mm256_dpbusd_avx_epi32(acc, a, w) }
    }
}
