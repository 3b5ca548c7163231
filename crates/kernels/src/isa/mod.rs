//! Instructions and nothing else: one file a level, each an implementation of [`Simd`](crate::Simd).
//! The only folder with `unsafe`; its notes all argue from one fact: a token can be made by
//! `detect` alone, so that a value of its type means that the CPU has the instructions.
#![allow(
    unsafe_code,
    reason = "vector instructions are unsafe until a token proves them"
)]

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
