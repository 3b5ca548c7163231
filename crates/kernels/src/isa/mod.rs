//! Instructions and nothing else: one file a level, each an implementation of [`Simd`](crate::Simd).
//! The only folder with `unsafe`; its notes all argue from one fact: a token can be made by
//! `detect` alone, so that a value of its type means that the CPU has the instructions.
#![allow(
    unsafe_code,
    reason = "vector instructions are unsafe until a token proves them"
)]

/// Operations that a level takes from the one that it extends, its field `0`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! taken_over {
    () => {
        taken_over! {
            bias(src: &[i32]) -> Self::I32;
            weights(src: &[i8]) -> Self::I8;
            quad(a: [u8; 4]) -> Self::I8;
            taps(t: [&[u8]; 4]) -> Self::I8;
            requant(acc: [Self::I32; 4], scale: [&[f32]; 4]) -> Self::I8;
            requant_columns(acc: [Self::I32; 4], scale: &[f32]) -> Self::I8;
            put(activations: Self::I8, registers: core::ops::Range<usize>, dst: &mut [u8]) -> ();
            store(a: Self::I32, dst: &mut [i32]) -> ();
            prefetch(bytes: &[u8]) -> ();
            spread(bits: u32, lanes: &mut [u16; 32]) -> ();
            gather(lanes: &[u16; 32]) -> u32;
            add(a: Self::I32, b: Self::I32) -> Self::I32;
            sub(a: Self::I32, b: Self::I32) -> Self::I32;
            max(a: Self::I32, b: Self::I32) -> Self::I32;
            splice(a: Self::I32, b: Self::I32, from: usize) -> Self::I32;
            counts(src: &[i16]) -> Self::I32;
            larger(a: Self::I32, b: Self::I32) -> Self::I32;
            threes(before: Self::I32, at: Self::I32, after: Self::I32) -> [Self::I32; 2];
            less(sums: [Self::I32; 2], counts: Self::I32) -> [Self::I32; 2];
        }
    };
    ($($name:ident($($argument:ident: $type:ty),*) -> $out:ty;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: $type),*) -> $out {
            self.0.$name($($argument),*)
        }
    )*};
}

mod scalar;
pub use scalar::Scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "x86_64")]
mod cpuid;
#[cfg(target_arch = "x86_64")]
pub use self::{avx2::Avx2, avx512vnni::Avx512Vnni, avxvnni::AvxVnni};

#[cfg(target_arch = "aarch64")]
mod hwcap;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
pub use self::{neon::Neon, neon_dotprod::NeonDotprod, neon_i8mm::NeonI8mm};
