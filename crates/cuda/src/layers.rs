//! What the kernels of the network are told: word for word as `kernels/network.cuh` has it, and in its words.
//!
//! Fields that are no counts or sizes are places in the device's [memory](crate::memory), in units.

use crate::words::words;

words! {
    /// The first convolution.
    pub struct Stem {
        /// The maps.
        map: u32,
        /// Activations.
        out: u32,
        /// `[out][quads of words]`.
        weights: u32,
        /// One a channel out.
        bias: u32,
        /// One a channel out.
        scale: u32,
        /// Frames at once.
        frames: u32,
        /// Cells along the side of a map.
        side: u32,
        /// Channels out.
        channels: u32,
        /// Channels out of a block, a multiple of 8.
        part: u32,
    }
}

words! {
    /// A depthwise and a pointwise convolution.
    pub struct Separable {
        /// Activations before.
        r#in: u32,
        /// Activations after.
        out: u32,
        /// `[column][channel]` words: three taps, and a zero.
        depthwise: u32,
        /// One a channel in.
        depthwise_bias: u32,
        /// One a channel in.
        depthwise_scale: u32,
        /// In the order of the tensor cores.
        pointwise: u32,
        /// One a channel out, filled up to whole groups.
        pointwise_bias: u32,
        /// One a channel out, filled up to whole groups.
        pointwise_scale: u32,
        /// Frames at once.
        frames: u32,
        /// Pixels along the side of a map before.
        side: u32,
        /// Pixels between two windows.
        stride: u32,
        /// Channels before.
        channels: u32,
        /// Channels after.
        outputs: u32,
        /// Pixels of a block, 16 or a multiple of 32, in rows filled up to whole runs.
        pixels: u32,
        /// Groups of 32 channels out that a block computes.
        groups: u32,
        /// Warps that share out the channels in of a product.
        parts: u32,
    }
}

words! {
    /// Pool and dense layer.
    pub struct Head {
        /// The last activations.
        r#in: u32,
        /// Three a frame.
        logits: u32,
        /// The pool's, one a channel.
        scale: u32,
        /// `[class][channel]`.
        weights: u32,
        /// One a class.
        bias: [i32; 3],
        /// Pixels of a map.
        pixels: u32,
        /// Channels.
        channels: u32,
    }
}
