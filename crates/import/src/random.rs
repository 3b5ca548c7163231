//! Networks of any width with pseudo-random weights: for tests, and to time a width that nobody has
//! trained. Their verdicts mean nothing.

use hitgate_core::net::{Range, Statistics};
use hitgate_core::prep::Reduce;

use crate::hgm::{self, WriteError};
use crate::model::{
    Block, Conv, MOBILENET_V1, ModelMeta, Network, STEM_CHANNELS, channels as at_width,
};

/// Root mean square of a weight that is uniform over -127..=127.
const WEIGHT_RMS: f32 = 73.3;
/// Standard deviation that the scales give to what enters a ReLU: 2.5 of them reach 127.
const SPREAD: f32 = 51.0;
/// Root mean square of what a ReLU leaves of it.
const ACTIVATION_RMS: f32 = 36.0;

/// A MobileNet-V1 of `width` for maps of `input · input · channels`, the same for the same seed.
///
/// Scales follow from the statistics of independent weights, so that activations neither die out nor
/// saturate, whatever the width.
pub fn network(width: f32, input: u32, channels: u32, seed: u64) -> Network {
    let mut numbers = Numbers(seed);
    let stem_channels = at_width(STEM_CHANNELS, width);
    let stem = numbers.conv(stem_channels, 9 * channels);
    let mut from = stem_channels;
    let mut side = input.div_ceil(2);
    let mut blocks = Vec::new();
    for (stride, base) in MOBILENET_V1 {
        let to = at_width(base, width);
        side = side.div_ceil(u32::from(stride));
        blocks.push(Block {
            stride,
            depthwise: numbers.conv(from, 9),
            pointwise: numbers.conv(to, from),
        });
        from = to;
    }
    let features = from as usize;
    Network {
        input,
        channels,
        stem,
        blocks,
        pool_scale: vec![1.0 / (side * side) as f32; features],
        head_weights: numbers.weights(3 * features),
        head_bias: [0; 3].map(|_| numbers.below(20_001) as i32 - 10_000),
        head_scale: 2.0 / (WEIGHT_RMS * ACTIVATION_RMS * (features as f32).sqrt()),
    }
}

/// A model file of [`network`], with a golden vector, for tests and timing.
///
/// # Errors
/// [`WriteError`] if the shape is none that the format allows, such as five channels.
pub fn file(width: f32, input: u32, channels: u32, seed: u64) -> Result<Vec<u8>, WriteError> {
    let network = network(width, input, channels, seed);
    file_of(&network, seed, &map(input, channels, seed))
}

/// A model file of any network, whose golden map is `map`.
///
/// # Errors
/// [`WriteError`] if it is none that the format allows.
pub fn file_of(network: &Network, seed: u64, map: &[u8]) -> Result<Vec<u8>, WriteError> {
    let any = Range {
        low: 0.0,
        high: 127.0,
    };
    let meta = ModelMeta {
        d_water: 3.4,
        reduce: Reduce::Maximum,
        threshold: 1 << 15,
        operating_points: Vec::new(),
        statistics: Statistics {
            valid: any,
            mean: any,
            zero: any,
        },
        seed,
        onnx_sha256: [0; 32],
        text: "random weights: for tests and timing alone".into(),
    };
    hgm::write(network, &meta, map)
}

/// A random map of `input · input · channels` levels.
pub fn map(input: u32, channels: u32, seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(!seed);
    (0..input * input * channels)
        .map(|_| numbers.below(128) as u8)
        .collect()
}

/// SplitMix64 (Steele et al. 2014).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) % end
    }

    fn weights(&mut self, count: usize) -> Vec<i8> {
        (0..count)
            .map(|_| (self.below(255) as i16 - 127) as i8)
            .collect()
    }

    /// A convolution of `outputs` channels, each a sum over `inputs` products.
    fn conv(&mut self, outputs: u32, inputs: u32) -> Conv {
        let spread = WEIGHT_RMS * ACTIVATION_RMS * (inputs as f32).sqrt();
        let bias = spread as u64 / 2;
        Conv {
            weights: self.weights((outputs * inputs) as usize),
            bias: (0..outputs)
                .map(|_| (self.below(2 * bias + 1) as i64 - bias as i64) as i32)
                .collect(),
            scale: (0..outputs)
                .map(|_| SPREAD / spread * (0.5 + self.below(1024) as f32 / 1024.0))
                .collect(),
        }
    }
}
