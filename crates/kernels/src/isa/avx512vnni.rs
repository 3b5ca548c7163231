//! AVX-512 with VNNI: 512-bit registers, a dot product in one instruction.

use core::arch::asm;
use core::arch::x86_64::*;
use core::ops::Range;

use super::cpuid::Features;
use crate::Simd;

/// Token of a CPU with AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// The token, if this CPU has the four extensions and the operating system saves their registers.
    pub fn detect() -> Option<Self> {
        Features::detect().avx512vnni().then_some(Avx512Vnni(()))
    }
}

const N: usize = 16;

/// Pairs of 16-bit factors that pick the counts of both columns of a lane, of the even one, ...
const BOTH: i32 = 0x0001_0001;
const EVEN: i32 = 0x0000_0001;
const ODD: i32 = 0x0001_0000;
const LESS_EVEN: i32 = 0x0000_FFFF;
const LESS_ODD: i32 = 0xFFFF_0000_u32 as i32;

impl Simd for Avx512Vnni {
    const NAME: &'static str = "avx512vnni";
    const N: usize = N;
    const SUMS: usize = 28;
    type I32 = __m512i;
    type I8 = __m512i;

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: *token*: `self` proves the four extensions.
        unsafe { inner(f) }
    }

    #[inline(always)]
    fn bias(self, src: &[i32]) -> __m512i {
        let src = &src[..N];
        // SAFETY: *token*: `self` proves AVX-512 F; *fits*: `src` holds the 64 bytes read.
        unsafe { _mm512_loadu_si512(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn weights(self, src: &[i8]) -> __m512i {
        let src = &src[..4 * N];
        // SAFETY: *token*: `self` proves AVX-512 F; *fits*: `src` holds the 64 bytes read.
        unsafe { _mm512_loadu_si512(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn quad(self, a: [u8; 4]) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 F.
        unsafe { _mm512_set1_epi32(i32::from_le_bytes(a)) }
    }

    #[inline(always)]
    fn taps(self, t: [&[u8]; 4]) -> __m512i {
        let [a, b, c, d] = t.map(
            #[inline(always)]
            |t| {
                let t = &t[..N];
                // SAFETY: *everywhere*: every x86-64 CPU has SSE2; *fits*: `t` holds the 16 bytes read.
                unsafe { _mm_loadu_si128(t.as_ptr().cast()) }
            },
        );
        // SAFETY: *token*: `self` proves AVX-512 F.
        unsafe {
            let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
            let x = _mm512_castsi128_si512(_mm_unpacklo_epi16(ab, cd));
            let x = _mm512_inserti32x4::<1>(x, _mm_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
            let x = _mm512_inserti32x4::<2>(x, _mm_unpacklo_epi16(ab, cd));
            _mm512_inserti32x4::<3>(x, _mm_unpackhi_epi16(ab, cd))
        }
    }

    #[inline(always)]
    fn columns(self, t: [&[u8]; 4]) -> [__m512i; 4] {
        let [a, b, c, d] = [load(t[0]), load(t[1]), load(t[2]), load(t[3])];
        // SAFETY: *token*: `self` proves AVX-512 BW.
        unsafe {
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (low, next) = (_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd));
            let (ab, cd) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            let (high, last) = (_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd));
            [low, next, high, last]
        }
    }

    #[inline(always)]
    fn lower(self, weights: [__m512i; 4]) -> [__m512i; 4] {
        weights.map(
            #[inline(always)]
            // SAFETY: *token*: `self` proves AVX-512 F.
            |weights| unsafe { _mm512_slli_epi32::<8>(weights) },
        )
    }

    /// Unpacking stays within 128 bits: each register has four channels of every sixteen.
    #[inline(always)]
    fn place(n: usize) -> usize {
        n % 16 / 4 * N + n / 16 * 4 + n % 4
    }

    #[inline(always)]
    fn dot4(self, acc: __m512i, a: __m512i, w: __m512i) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 VNNI.
        unsafe { _mm512_dpbusd_epi32(acc, a, w) }
    }

    #[inline(always)]
    fn requant(self, acc: [__m512i; 4], scale: [&[f32]; 4]) -> __m512i {
        let packed = packed(acc, scale);
        // Packing leaves four channels of each register in every 128 bits.
        // SAFETY: *token*: `self` proves AVX-512 F.
        unsafe {
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            opaque(_mm512_permutexvar_epi32(order, packed))
        }
    }

    /// Packing undoes what unpacking did.
    #[inline(always)]
    fn requant_columns(self, acc: [__m512i; 4], scale: &[f32]) -> __m512i {
        packed(acc, [scale, &scale[N..], &scale[2 * N..], &scale[3 * N..]])
    }

    #[inline(always)]
    fn put(self, activations: __m512i, registers: Range<usize>, dst: &mut [u8]) {
        let to = dst[..registers.len() * N].as_mut_ptr();
        let a = activations;
        // SAFETY: *token*: `self` proves AVX-512 F; *fits*: `dst` holds the bytes written, 16 a register.
        unsafe {
            match (registers.len(), registers.start) {
                (1, 0) => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(a)),
                (1, 1) => _mm_storeu_si128(to.cast(), _mm512_extracti32x4_epi32::<1>(a)),
                (1, 2) => _mm_storeu_si128(to.cast(), _mm512_extracti32x4_epi32::<2>(a)),
                (1, _) => _mm_storeu_si128(to.cast(), _mm512_extracti32x4_epi32::<3>(a)),
                (2, 0) => _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(a)),
                (2, _) => _mm256_storeu_si256(to.cast(), _mm512_extracti64x4_epi64::<1>(a)),
                _ => _mm512_storeu_si512(dst[..4 * N].as_mut_ptr().cast(), a),
            }
        }
    }

    #[inline(always)]
    fn spread(self, bits: u32, lanes: &mut [u16; 32]) {
        // SAFETY: *token*: `self` proves AVX-512 BW; *fits*: `lanes` holds the 64 bytes written.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), _mm512_movm_epi16(bits)) }
    }

    #[inline(always)]
    fn gather(self, lanes: &[u16; 32]) -> u32 {
        // SAFETY: *token*: `self` proves AVX-512 BW; *fits*: `lanes` holds the 64 bytes read.
        unsafe { _mm512_movepi16_mask(_mm512_loadu_si512(lanes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        // SAFETY: *everywhere*: every x86-64 CPU has the instruction, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().cast()) }
    }

    #[inline(always)]
    fn counts(self, src: &[i16]) -> __m512i {
        let src = &src[..2 * N];
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI; *fits*: `src` holds the 64 bytes read.
        unsafe { _mm512_loadu_si512(src.as_ptr().cast()) }
    }

    #[inline(always)]
    fn larger(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe { _mm512_max_epi16(a, b) }
    }

    #[inline(always)]
    fn threes(self, before: __m512i, at: __m512i, after: __m512i) -> [__m512i; 2] {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe {
            let two = _mm512_madd_epi16(at, _mm512_set1_epi32(BOTH));
            [
                dpwssd(two, before, _mm512_set1_epi32(ODD)),
                dpwssd(two, after, _mm512_set1_epi32(EVEN)),
            ]
        }
    }

    #[inline(always)]
    fn less(self, [even, odd]: [__m512i; 2], counts: __m512i) -> [__m512i; 2] {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe {
            [
                dpwssd(even, counts, _mm512_set1_epi32(LESS_EVEN)),
                dpwssd(odd, counts, _mm512_set1_epi32(LESS_ODD)),
            ]
        }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI.
        unsafe { _mm512_max_epi32(a, b) }
    }

    #[inline(always)]
    fn splice(self, a: __m512i, b: __m512i, from: usize) -> __m512i {
        // SAFETY: *token*: `self` proves AVX-512 F.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(from as i32));
            _mm512_permutex2var_epi32(a, lanes, b)
        }
    }

    #[inline(always)]
    fn store(self, a: __m512i, dst: &mut [i32]) {
        let dst = &mut dst[..N];
        // SAFETY: *token*: `self` proves AVX-512 BW and VNNI; *fits*: `dst` holds the 64 bytes written.
        unsafe { _mm512_storeu_si512(dst.as_mut_ptr().cast(), a) }
    }
}

/// Requantizes four registers into one; packing stays within 128 bits.
#[inline(always)]
fn packed(acc: [__m512i; 4], scale: [&[f32]; 4]) -> __m512i {
    let (a, b) = (rounded(acc[0], scale[0]), rounded(acc[1], scale[1]));
    let (c, d) = (rounded(acc[2], scale[2]), rounded(acc[3], scale[3]));
    // The upper clamp is the saturation of the packs. Both bounds are integers: clamping after rounding
    // gives what clamping before it gives.
    // SAFETY: *token*: only methods of the token call this, AVX-512 BW is proved.
    unsafe {
        let (ab, cd) = (_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        _mm512_max_epi8(_mm512_packs_epi16(ab, cd), _mm512_setzero_si512())
    }
}

/// `acc · scale` as integers, which an i32 holds.
#[inline(always)]
fn rounded(acc: __m512i, scale: &[f32]) -> __m512i {
    let scale = &scale[..N];
    // SAFETY: *token*: only methods of the token call this, AVX-512 F is proved; *fits*: `scale` holds the 64 bytes read.
    unsafe {
        let scale = _mm512_loadu_ps(scale.as_ptr());
        _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale))
    }
}

/// `acc[n] + a[2n] · b[2n] + a[2n + 1] · b[2n + 1]`. The compiler makes two instructions of the intrinsic, a
/// cycle sooner and half as many at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn dpwssd(mut acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: *compiled for it*: the instruction is one of AVX-512 VNNI, and touches no memory.
    unsafe {
        asm!(
            "vpdpwssd {acc}, {a}, {b}",
            acc = inout(zmm_reg) acc,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

/// The same, but where it comes from is hidden: the compiler would permute once for each part that is put
/// somewhere, on the one port that packing keeps busy.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn opaque(mut a: __m512i) -> __m512i {
    // SAFETY: *everywhere*: there is no instruction.
    unsafe {
        asm!(
            "/* {} */",
            inout(zmm_reg) a,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    a
}

/// The first 64 bytes.
#[inline(always)]
fn load(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..4 * N];
    // SAFETY: *token*: only methods of the token call this, AVX-512 F is proved; *fits*: `bytes` holds the 64 bytes read.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
