//! A quantized network and what is known of it, owned: what an importer makes and
//! [`hgm::write`](crate::hgm::write) puts in a file.

use hitgate_core::net::Statistics;
use hitgate_core::prep::Reduce;

/// Stride and channels at width 1 of the blocks of MobileNet-V1 (Howard et al. 2017, table 1).
pub const MOBILENET_V1: [(u8, u32); 13] = [
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
];

/// Channels of MobileNet-V1's stem at width 1.
pub const STEM_CHANNELS: u32 = 32;

/// Channels of a layer that has `base` of them at width 1: `max(8, 8 round(width base / 8))`, halves up.
pub fn channels(base: u32, width: f32) -> u32 {
    let eights = (f64::from(width) * f64::from(base) / 8.0 + 0.5).floor() as u32;
    8 * eights.max(1)
}

/// One convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Stem `[out][in][3][3]`, depthwise `[channel][3][3]`, pointwise `[out][in]`.
    pub weights: Vec<i8>,
    /// One a channel out, in units of the products.
    pub bias: Vec<i32>,
    /// One a channel out: takes a sum to an activation of 0..=127.
    pub scale: Vec<f32>,
}

/// A 3x3 depthwise convolution and a 1x1 convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Pixels between two windows of the depthwise half, 1 or 2.
    pub stride: u8,
    /// The 3x3 half.
    pub depthwise: Conv,
    /// The 1x1 half.
    pub pointwise: Conv,
}

/// The whole network, in integers and scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Cells along the side of the map.
    pub input: u32,
    /// Bytes a cell, 1 to 4.
    pub channels: u32,
    /// 3x3, stride 2.
    pub stem: Conv,
    /// First to last.
    pub blocks: Vec<Block>,
    /// One a channel of the last block: takes the sum over the map to an activation.
    pub pool_scale: Vec<f32>,
    /// `[class][feature]`, classes hit, maybe, miss.
    pub head_weights: Vec<i8>,
    /// One a class.
    pub head_bias: [i32; 3],
    /// Takes a logit to a power of two, temperature folded in: `(softmax's logit) / ln 2`.
    pub head_scale: f32,
}

/// What a model file tells beside the network.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelMeta {
    /// Resolution of the water ring in Å.
    pub d_water: f32,
    /// How a block of pixels becomes a cell.
    pub reduce: Reduce,
    /// Keep when `p_hit + p_maybe` is at least this, times 2¹⁶.
    pub threshold: u16,
    /// Thresholds that were set on validation data, at most 16.
    pub operating_points: Vec<OperatingPoint>,
    /// What maps looked like in training.
    pub statistics: Statistics,
    /// Seed of the training data.
    pub seed: u64,
    /// SHA-256 of the ONNX file.
    pub onnx_sha256: [u8; 32],
    /// Whatever else is worth telling.
    pub text: String,
}

/// A threshold that was set on validation data; fields as in
/// [`hitgate_core::net::OperatingPoint`].
#[derive(Clone, Debug, PartialEq)]
pub struct OperatingPoint {
    /// At most 24 bytes.
    pub name: String,
    /// Times 2¹⁶.
    pub threshold: u16,
    /// The recall that it was set for.
    pub recall_target: f32,
    /// k of n hits that it kept.
    pub hits_kept: (u32, u32),
    /// Exact one-sided 95 % lower bound of that recall.
    pub recall_bound: f32,
    /// k of n misses that it dropped.
    pub misses_dropped: (u32, u32),
}
