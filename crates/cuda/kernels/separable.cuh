// A block of the network: depthwise into shared memory, pointwise out of it.
//
// Shared memory: the rows that the tensor cores read, `separable_pitch` bytes a pixel, then the pixels' places. The pitch is
// 16 bytes more than a multiple of 32, so that eight rows lie in different banks.
#pragma once

#include "arithmetic.cuh"
#include "matrix.cuh"
#include "network.cuh"

BODY uint32_t separable_pitch(uint32_t channels) { return round_up(channels, 32) + 16; }

/// Where the window of a pixel lies.
struct Place {
    /// Pixel of its top left corner among those of all frames; it wraps where that is outside.
    uint32_t first;
    /// Bit for bit, which of its nine taps are inside of the frame.
    uint32_t inside;
};

BODY Place place_of(const Separable &layer, uint32_t pixel) {
    const uint32_t side = layer.side, out_side = (side + layer.stride - 1) / layer.stride;
    Place place = {0, 0};
    const uint32_t row = pixel / out_side, frame = row / out_side;
    if (frame < layer.frames) {
        const uint32_t y = row % out_side * layer.stride - 1, x = pixel % out_side * layer.stride - 1;
        place.first = (frame * side + y) * side + x;
        for (uint32_t tap = 0; tap < 9; tap++)
            place.inside |= uint32_t(y + tap / 3 < side && x + tap % 3 < side) << tap;
    }
    return place;
}

/// Four channels of a pixel, `word` of them in.
struct Taps {
    uint4 weights[3];
    int4 bias;
    float4 scale;

    BODY Taps(uint8_t *memory, const Separable &layer, uint32_t word) {
        for (uint32_t i = 0; i < 3; i++)
            weights[i] = constant(at<uint4>(memory, layer.depthwise) + i * (layer.channels / 4) + word);
        bias = constant(at<int4>(memory, layer.depthwise_bias) + word);
        scale = constant(at<float4>(memory, layer.depthwise_scale) + word);
    }

    BODY uint32_t apply(const Separable &layer, const uint32_t *in, Place place) const {
        int4 sums = bias;
#pragma unroll
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t taps[4] = {}, channels[4];
#pragma unroll
            for (uint32_t j = 0; j < 4; j++) {
                const uint32_t tap = 4 * i + j;
                if (tap < 9 && (place.inside >> tap & 1) != 0) {
                    const uint32_t pixel = place.first + tap / 3 * layer.side + tap % 3;
                    taps[j] = in[size_t(pixel) * (layer.channels / 4)];
                }
            }
            transpose(taps, channels);
            sums.x = dot4(sums.x, channels[0], weights[i].x);
            sums.y = dot4(sums.y, channels[1], weights[i].y);
            sums.z = dot4(sums.z, channels[2], weights[i].z);
            sums.w = dot4(sums.w, channels[3], weights[i].w);
        }
        return requantize(sums, scale);
    }
};

/// Fills the rows: each thread stays with its four channels, whose numbers it loads once.
BODY void separable_depthwise(uint32_t t, uint8_t *memory, const Separable &layer, uint8_t *rows, const Place *places) {
    const uint32_t words = layer.channels / 4, filled = round_up(layer.channels, 32) / 4;
    const uint32_t span = smaller(filled, THREADS), lines = THREADS / span;
    const uint32_t pitch = separable_pitch(layer.channels);
    if (t >= lines * span)
        return;
    for (uint32_t word = t % span; word < filled; word += span) {
        uint8_t *column = rows + 4 * word;
        if (word < words) {
            const Taps taps(memory, layer, word);
            const uint32_t *in = at<uint32_t>(memory, layer.in) + word;
            for (uint32_t pixel = t / span; pixel < layer.pixels; pixel += lines)
                *reinterpret_cast<uint32_t *>(column + pixel * pitch) = taps.apply(layer, in, places[pixel]);
        } else {
            for (uint32_t pixel = t / span; pixel < layer.pixels; pixel += lines)
                *reinterpret_cast<uint32_t *>(column + pixel * pitch) = 0;
        }
    }
}

/// 32 pixels, from `rows` on, times a group of 32 channels out. A lane's sums of a pixel are those of eight channels side
/// by side: sum `i & 1` of product `j` is channel `8 (lane % 4) + 2 j + (i & 1)` of the group.
BODY void separable_pointwise(uint8_t *memory, const Separable &layer, const uint8_t *rows, uint32_t first_pixel,
                              uint32_t pixels, uint32_t group) {
    const uint32_t steps = round_up(layer.channels, 32) / 32, pitch = separable_pitch(layer.channels);
    PerLane<Sums> sums[2][4];
    EACH_LANE(l) {
        const int4 *bias = at<int4>(memory, layer.pointwise_bias) + group * 8 + l % 4 * 2;
        const int4 low = constant(bias), high = constant(bias + 1);
#pragma unroll
        for (uint32_t tile = 0; tile < 2; tile++) {
            sums[tile][0][l] = {{low.x, low.y, low.x, low.y}};
            sums[tile][1][l] = {{low.z, low.w, low.z, low.w}};
            sums[tile][2][l] = {{high.x, high.y, high.x, high.y}};
            sums[tile][3][l] = {{high.z, high.w, high.z, high.w}};
        }
    }
    const uint4 *packed = at<uint4>(memory, layer.pointwise) + size_t(group) * steps * 2 * LANES;
    for (uint32_t step = 0; step < steps; step++) {
        PerLane<Weights> weights[4];
        EACH_LANE(l) {
#pragma unroll
            for (uint32_t pair = 0; pair < 2; pair++) {
                const uint4 four = constant(packed + (step * 2 + pair) * LANES + l);
                weights[2 * pair][l] = {{four.x, four.y}};
                weights[2 * pair + 1][l] = {{four.z, four.w}};
            }
        }
#pragma unroll
        for (uint32_t tile = 0; tile < 2; tile++) {
            PerLane<Activations> activations;
            load(activations, rows + 16 * tile * pitch + 32 * step, pitch);
#pragma unroll
            for (uint32_t j = 0; j < 4; j++)
                multiply(sums[tile][j], activations, weights[j]);
        }
    }
    EACH_LANE(l) {
        const uint32_t channel = group * 32 + l % 4 * 8;
        const float4 *scale = at<float4>(memory, layer.pointwise_scale) + channel / 4;
        const float4 low = constant(scale), high = constant(scale + 1);
#pragma unroll
        for (uint32_t tile = 0; tile < 2; tile++)
#pragma unroll
            for (uint32_t half = 0; half < 2; half++) {
                const uint32_t pixel = first_pixel + 16 * tile + 8 * half + l / 4;
                const auto two = [&](uint32_t j) { return sums[tile][j][l].number + 2 * half; };
                if (pixel < pixels && channel < layer.outputs) {
                    uint8_t *out = at<uint8_t>(memory, layer.out) + size_t(pixel) * layer.outputs + channel;
                    *reinterpret_cast<uint2 *>(out) = {
                        requantize({two(0)[0], two(0)[1], two(1)[0], two(1)[1]}, low),
                        requantize({two(2)[0], two(2)[1], two(3)[0], two(3)[1]}, high),
                    };
                }
            }
    }
}

BODY void separable(const Block &block, uint8_t *memory, const Separable &layer) {
    const uint32_t pitch = separable_pitch(layer.channels);
    uint8_t *rows = block.shared;
    Place *places = reinterpret_cast<Place *>(rows + layer.pixels * pitch);
    const uint32_t first_pixel = block.x * layer.pixels;
    EACH_THREAD(t) {
        for (uint32_t pixel = t; pixel < layer.pixels; pixel += THREADS)
            places[pixel] = place_of(layer, first_pixel + pixel);
    }
    block.barrier();
    EACH_THREAD(t) { separable_depthwise(t, memory, layer, rows, places); }
    block.barrier();

    const uint32_t out_side = (layer.side + layer.stride - 1) / layer.stride;
    const uint32_t pixels = layer.frames * out_side * out_side;
    const uint32_t all = round_up(layer.outputs, 32) / 32, first_group = block.y * layer.groups;
    const uint32_t groups = smaller(layer.groups, all - first_group), strips = layer.pixels / 32;
    EACH_WARP(w) {
        for (uint32_t item = w; item < strips * groups; item += WARPS) {
            const uint32_t strip = item % strips * 32, group = first_group + item / strips;
            separable_pointwise(memory, layer, rows + strip * pitch, first_pixel + strip, pixels, group);
        }
    }
}
