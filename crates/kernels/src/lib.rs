//! Integer kernels of a quantized MobileNet-V1, and of the maps that it sees: every loop is written once
//! over [`Simd`], and a CPU level adds only its instructions, under `isa`. `KERNELS.md` has their figures.
//!
//! What comes in and goes out are slices and shapes; nothing here knows a frame, a file or a thread.
//! Activations are u7 (`0..=127`), weights i8, accumulators i32, and every level gives **the same
//! bits**:
//!
//! * A multiply-add of u7 by i8 is exact in i32. Two neighbouring products reach at most
//!   127 · 128 · 2 = 32512 < 2¹⁵, so that AVX2's 16-bit `vpmaddubsw` cannot saturate either.
//! * Whoever builds a layer shows that `|bias| + 127 · Σ|weights| <= i32::MAX` for each of its
//!   channels. Every partial sum, in any order, is then within ±`i32::MAX`.
//! * They show too that the largest of these, as an f32 times the channel's scale, is at most
//!   [`MAX_SCALED`], so that it becomes an i32 before it is clamped.
//! * Requantization is four IEEE steps that each CPU and GPU has: i32 → f32 to nearest even, one
//!   f32 multiply, clamp to `0..=127`, round half to even. Nothing is fused.
//!
//! The preparation is in integers too. Where a loop divides or takes a root it does so in f32 or f64, and
//! a comment shows that the integer which comes of it is exact.
//!
//! Maps lie channels last, in [`Map`]s with a frame of zero pixels, so that a 3x3 window never leaves
//! its map. Channels are padded to whole registers ([`pack::padded`]): the weights of a padding
//! channel are zero, hence its activations are zero.
//!
//! # Panics
//! The kernels panic if a slice is shorter than its shape demands, or if a shape has no pixels or no
//! channels: that is a mistake of the caller, who sizes all of them from shapes alone. No value of any
//! byte makes them panic.
#![no_std]
#![deny(unsafe_code)]

mod ahead;
mod blocks;
mod contrast;
mod correct;
mod counts;
mod dense;
mod depthwise;
mod isa;
mod level;
mod map;
pub mod pack;
mod peaks;
mod pointwise;
mod pool;
mod ranks;
mod simd;
mod slide;
mod stem;
mod windows;

pub use ahead::Ahead;
pub use blocks::{Blocks, any_of_blocks, largest_of_blocks};
pub use contrast::{INVALID, contrast, contrast_pitch, contrast_words};
pub use correct::{EXCLUDED, PER_PHOTON, STAGES, StageMaps, correct};
pub use counts::{
    Area, Column, Count, Largest, NO_COUNT, Pixel, Rule, SUM_BITS, Sum, UNIT, counts,
};
pub use dense::dense;
pub use depthwise::depthwise;
pub use isa::*;
pub use level::{Level, LevelError};
pub use map::{Map, MapMut, Shape};
pub use pack::Packed;
pub use peaks::{MARGIN, fold, fold_words, found_len, near_len, nothing_near, peaks};
pub use pointwise::pointwise;
pub use pool::pool;
pub use ranks::{RANK_WORDS, ranks};
pub use simd::{Op, Simd};
pub use stem::{stem, stem_input, stem_inputs};

/// The largest activation: seven bits, so that one byte is the same number as u8 and as i8.
pub const ACTIVATION_MAX: u8 = 127;
/// What a sum times its scale may be at most, either sign: half of what an i32 holds.
pub const MAX_SCALED: f32 = (1u32 << 30) as f32;
