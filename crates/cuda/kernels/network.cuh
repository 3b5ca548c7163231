// What the host tells the kernels of the network: the same words as `src/layers.rs`.
//
// Activations are 0..=127, channels last, frame after frame, without borders. Fields that are no counts or sizes are
// places in the device's memory, in units.
#pragma once

#include "block.cuh"

/// 3x3, stride 2, from the map.
struct Stem {
    uint32_t map, out;
    /// `[out][quads]`: the window's bytes `[tap][channel]`, filled up with zeros to whole quads of words.
    uint32_t weights, bias, scale;
    uint32_t frames, side, channels;
    /// Channels of a block, a multiple of 8.
    uint32_t part;
};

/// A 3x3 depthwise convolution, and a 1x1 over its result, which never leaves the block.
struct Separable {
    uint32_t in, out;
    /// `[column][channel]`: the three taps of a column, and a zero.
    uint32_t depthwise, depthwise_bias, depthwise_scale;
    /// As the tensor cores take them: see `src/pack.rs`. Bias and scale are filled up to whole groups.
    uint32_t pointwise, pointwise_bias, pointwise_scale;
    uint32_t frames, side, stride, channels, outputs;
    /// Pixels of a block, 16 or a multiple of 32, in rows filled up to whole runs; and groups of 32 channels out that a block computes.
    uint32_t pixels, groups;
    /// Warps that share out the channels in of a product, so that none of a block is idle.
    uint32_t parts;
};

/// Pool and dense layer of a frame.
struct Head {
    uint32_t in, logits;
    uint32_t scale, weights;
    int32_t bias[3];
    uint32_t pixels, channels;
};
