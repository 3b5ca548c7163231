// Map → first activations: a thread makes channels of a pixel, all of them where pixels are many.
#pragma once

#include "arithmetic.cuh"
#include "network.cuh"

/// Quads of words that hold a window of so many channels.
BODY constexpr uint32_t stem_quads(uint32_t inputs) { return (9 * inputs + 15) / 16; }

template <uint32_t INPUTS> BODY void stem(const Block &block, uint8_t *memory, const Stem &layer) {
    constexpr uint32_t QUADS = stem_quads(INPUTS);
    const uint32_t side = layer.side, out_side = (side + 1) / 2;
    block.wait();
    EACH_THREAD(t) {
        const uint32_t pixel = block.x * THREADS + t;
        if (pixel < layer.frames * out_side * out_side) {
            const uint32_t row = pixel / out_side, x = 2 * (pixel % out_side);
            const uint32_t frame = row / out_side, y = 2 * (row % out_side);
            const uint8_t *map = at<uint8_t>(memory, layer.map) + size_t(frame) * side * side * INPUTS;

            uint32_t window[4 * QUADS] = {};
#pragma unroll
            for (uint32_t tap = 0; tap < 9; tap++) {
                // Before the first row or column this is a large number, and so outside too.
                const uint32_t in_y = y + tap / 3 - 1, in_x = x + tap % 3 - 1;
                if (in_y < side && in_x < side)
#pragma unroll
                    for (uint32_t channel = 0; channel < INPUTS; channel++) {
                        const uint32_t level = map[(size_t(in_y) * side + in_x) * INPUTS + channel];
                        const uint32_t k = tap * INPUTS + channel;
                        window[k / 4] |= smaller(level, 127) << 8 * (k % 4);
                    }
            }

            const uint4 *weights = at<uint4>(memory, layer.weights);
            uint8_t *out = at<uint8_t>(memory, layer.out) + size_t(pixel) * layer.channels;
            const auto four = [&](uint32_t channel) {
                const int4 bias = constant(at<int4>(memory, layer.bias) + channel / 4);
                int32_t sums[4] = {bias.x, bias.y, bias.z, bias.w};
#pragma unroll
                for (uint32_t i = 0; i < 4; i++)
#pragma unroll
                    for (uint32_t quad = 0; quad < QUADS; quad++) {
                        const uint4 four = constant(weights + (channel + i) * QUADS + quad);
                        sums[i] = dot4(sums[i], window[4 * quad], four.x);
                        sums[i] = dot4(sums[i], window[4 * quad + 1], four.y);
                        sums[i] = dot4(sums[i], window[4 * quad + 2], four.z);
                        sums[i] = dot4(sums[i], window[4 * quad + 3], four.w);
                    }
                const float4 scale = constant(at<float4>(memory, layer.scale) + channel / 4);
                return requantize(int4{sums[0], sums[1], sums[2], sums[3]}, scale);
            };
            const uint32_t first = block.y * layer.part, behind = smaller(first + layer.part, layer.channels);
            if (layer.part % 16 == 0 && layer.channels % 16 == 0)
                for (uint32_t channel = first; channel < behind; channel += 16)
                    *reinterpret_cast<uint4 *>(out + channel) = {four(channel), four(channel + 4), four(channel + 8), four(channel + 12)};
            else
                for (uint32_t channel = first; channel < behind; channel += 8)
                    *reinterpret_cast<uint2 *>(out + channel) = {four(channel), four(channel + 4)};
        }
    }
}
