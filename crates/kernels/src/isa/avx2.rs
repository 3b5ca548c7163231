//! AVX2: 256-bit registers, a dot product in three instructions.

use core::arch::x86_64::*;
use core::ops::Range;

use super::cpuid::Features;
use crate::Simd;

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

/// Pairs of 16-bit factors that pick the counts of both columns of a lane, of the even one, ...
const BOTH: i32 = 0x0001_0001;
const EVEN: i32 = 0x0000_0001;

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
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { inner(f) }
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> __m256i {
        let src = &src[..N];
        // SAFETY: *token*: `self` proves AVX2; *fits*: `src` holds the 32 bytes read.
        unsafe { _mm256_loadu_si256(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> __m256i {
        let src = &src[..4 * N];
        // SAFETY: *token*: `self` proves AVX2; *fits*: `src` holds the 32 bytes read.
        unsafe { _mm256_loadu_si256(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_set1_epi32(i32::from_le_bytes(a)) }
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> __m256i {
        let [a, b, c, d] = t.map(
            #[inline(always)]
            |t| {
                let t = &t[..N];
                // SAFETY: *everywhere*: every x86-64 CPU has SSE2; *fits*: `t` holds the 8 bytes read.
                unsafe { _mm_loadl_epi64(t.as_ptr().cast()) }
            },
        );
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            _mm256_set_m128i(_mm_unpackhi_epi16(ab, cd), _mm_unpacklo_epi16(ab, cd))
        }
    }

    #[inline(always)]
    fn columns(self, t: [&[u8]; 4]) -> [__m256i; 4] {
        let [a, b, c, d] = [load(t[0]), load(t[1]), load(t[2]), load(t[3])];
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
            let (low, next) = (_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
            let (high, last) = (_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd));
            [low, next, high, last]
        }
    }

    #[inline(always)]
    fn lower(self, weights: [__m256i; 4]) -> [__m256i; 4] {
        weights.map(
            #[inline(always)]
            // SAFETY: *token*: `self` proves AVX2.
            |weights| unsafe { _mm256_slli_epi32::<8>(weights) },
        )
    }

    /// Unpacking stays within 128 bits: each register has four channels of every sixteen.
    #[inline(always)]
    fn place(n: usize) -> usize {
        n % 16 / 4 * N + n / 16 * 4 + n % 4
    }

    #[inline(always)]
    fn dot4(self, acc: __m256i, a: __m256i, w: __m256i) -> __m256i {
        // 127 · 128 · 2 = 32512 < 2¹⁵: the 16-bit sums of pairs cannot saturate.
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let pairs = _mm256_maddubs_epi16(a, w);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn requant(self, acc: [__m256i; 4], scale: [&[f32]; 4]) -> __m256i {
        let packed = packed(acc, scale);
        // Packing leaves four channels of each register in every 128 bits.
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)) }
    }

    /// Packing undoes what unpacking did.
    #[inline(always)]
    fn requant_columns(self, acc: [__m256i; 4], scale: &[f32]) -> __m256i {
        packed(acc, [scale, &scale[N..], &scale[2 * N..], &scale[3 * N..]])
    }

    #[inline(always)]
    fn put(self, activations: __m256i, registers: Range<usize>, dst: &mut [u8]) {
        let to = dst[..registers.len() * N].as_mut_ptr();
        // SAFETY: *token*: `self` proves AVX2; *fits*: `dst` holds the bytes written, 8 a register.
        unsafe {
            let low = _mm256_castsi256_si128(activations);
            let high = _mm256_extracti128_si256::<1>(activations);
            match (registers.len(), registers.start) {
                (1, 0) => _mm_storel_epi64(to.cast(), low),
                (1, 1) => _mm_storeh_pd(to.cast(), _mm_castsi128_pd(low)),
                (1, 2) => _mm_storel_epi64(to.cast(), high),
                (1, _) => _mm_storeh_pd(to.cast(), _mm_castsi128_pd(high)),
                (2, 0) => _mm_storeu_si128(to.cast(), low),
                (2, _) => _mm_storeu_si128(to.cast(), high),
                _ => _mm256_storeu_si256(dst[..4 * N].as_mut_ptr().cast(), activations),
            }
        }
    }

    #[inline(always)]
    fn spread(self, bits: u32, lanes: &mut [u16; 32]) {
        let [low, high] = lanes.as_chunks_mut::<16>().0 else {
            return;
        };
        // SAFETY: *token*: `self` proves AVX2; *fits*: each half holds the 32 bytes written.
        unsafe {
            let each = _mm256_setr_epi16(
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768,
            );
            for (half, bits) in [(low, bits), (high, bits >> 16)] {
                let set = _mm256_and_si256(_mm256_set1_epi16(bits as i16), each);
                _mm256_storeu_si256(half.as_mut_ptr().cast(), _mm256_cmpeq_epi16(set, each));
            }
        }
    }

    #[inline(always)]
    fn gather(self, lanes: &[u16; 32]) -> u32 {
        let (low, high) = lanes.split_at(16);
        // SAFETY: *token*: `self` proves AVX2; *fits*: each half holds the 32 bytes read.
        unsafe {
            let low = _mm256_loadu_si256(low.as_ptr().cast());
            let high = _mm256_loadu_si256(high.as_ptr().cast());
            // Packing stays within 128 bits.
            let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(low, high));
            _mm256_movemask_epi8(bytes) as u32
        }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        // SAFETY: *everywhere*: every x86-64 CPU has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn counts(self, src: &[i16]) -> __m256i {
        let src = &src[..2 * N];
        // SAFETY: *token*: `self` proves AVX2; *fits*: `src` holds the 32 bytes read.
        unsafe { _mm256_loadu_si256(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn larger(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_max_epi16(a, b) }
    }

    #[inline(always)]
    fn threes(self, before: __m256i, at: __m256i, after: __m256i) -> [__m256i; 2] {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let two = _mm256_madd_epi16(at, _mm256_set1_epi32(BOTH));
            let odd = _mm256_srai_epi32::<16>(before);
            let even = _mm256_madd_epi16(after, _mm256_set1_epi32(EVEN));
            [_mm256_add_epi32(two, odd), _mm256_add_epi32(two, even)]
        }
    }

    #[inline(always)]
    fn less(self, [even, odd]: [__m256i; 2], counts: __m256i) -> [__m256i; 2] {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let less_even = _mm256_madd_epi16(counts, _mm256_set1_epi32(EVEN));
            let less_odd = _mm256_srai_epi32::<16>(counts);
            [
                _mm256_sub_epi32(even, less_even),
                _mm256_sub_epi32(odd, less_odd),
            ]
        }
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe { _mm256_max_epi32(a, b) }
    }

    #[inline(always)]
    fn splice(self, a: __m256i, b: __m256i, from: usize) -> __m256i {
        // SAFETY: *token*: `self` proves AVX2.
        unsafe {
            let between = _mm256_permute2x128_si256::<0x21>(a, b);
            let (low, high) = if from < 4 { (a, between) } else { (between, b) };
            // Within 128 bits; bytes.
            match from % 4 {
                1 => _mm256_alignr_epi8::<4>(high, low),
                2 => _mm256_alignr_epi8::<8>(high, low),
                3 => _mm256_alignr_epi8::<12>(high, low),
                _ if from == N => b,
                _ => low,
            }
        }
    }

    #[inline(always)]
    fn store(self, a: __m256i, dst: &mut [i32]) {
        let dst = &mut dst[..N];
        // SAFETY: *token*: `self` proves AVX2; *fits*: `dst` holds the 32 bytes written.
        unsafe { _mm256_storeu_si256(dst.as_mut_ptr().cast(), a) }
    }
}

/// Requantizes four registers into one; packing stays within 128 bits.
#[inline(always)]
fn packed(acc: [__m256i; 4], scale: [&[f32]; 4]) -> __m256i {
    let (a, b) = (rounded(acc[0], scale[0]), rounded(acc[1], scale[1]));
    let (c, d) = (rounded(acc[2], scale[2]), rounded(acc[3], scale[3]));
    // The upper clamp is the saturation of the packs. Both bounds are integers: clamping after rounding
    // gives what clamping before it gives.
    // SAFETY: *token*: only methods of the token call this, AVX2 is proved.
    unsafe {
        let (ab, cd) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_max_epi8(_mm256_packs_epi16(ab, cd), _mm256_setzero_si256())
    }
}

/// `acc · scale` as integers, which an i32 holds.
#[inline(always)]
fn rounded(acc: __m256i, scale: &[f32]) -> __m256i {
    let scale = &scale[..N];
    // SAFETY: *token*: only methods of the token call this, AVX2 is proved; *fits*: `scale` holds the 32 bytes read.
    unsafe {
        let scale = _mm256_loadu_ps(scale.as_ptr());
        _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), scale))
    }
}

/// The first 32 bytes.
#[inline(always)]
fn load(bytes: &[u8]) -> __m256i {
    let bytes = &bytes[..4 * N];
    // SAFETY: *token*: only methods of the token call this, AVX2 is proved; *fits*: `bytes` holds the 32 bytes read.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}
