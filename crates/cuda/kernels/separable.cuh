// A block of the network: depthwise into shared memory, pointwise out of it.
//
// Pixels out are counted in rows filled up to whole runs: a thread makes RUN pixels side by side, whose windows overlap.
//
// Shared memory: the rows that the tensor cores read, `separable_pitch` bytes a pixel, of half a strip of 32 the others too; where the runs lie; and, where warps
// share out the channels in of a product, its sums. The pitch is 16 bytes more than a multiple of 32, so that eight rows lie in
// different banks.
#pragma once

#include "arithmetic.cuh"
#include "matrix.cuh"
#include "network.cuh"

BODY uint32_t separable_pitch(uint32_t channels) { return round_up(channels, 32) + 16; }

/// Pixels out that a thread makes side by side.
constexpr uint32_t RUN = 4;

/// Where they lie, and their windows. Rows and columns wrap where they are outside.
struct Run {
    /// The first row of their frame, among those of all frames.
    uint32_t frame;
    /// Top left of the first window, in the frame.
    uint32_t y, x;
    /// The first pixel out in bits 3 and up, and how many there are.
    uint32_t out;

    BODY uint32_t pixels() const { return out & 7; }
    BODY uint32_t pixel() const { return out >> 3; }
};

BODY Run run_of(const Separable &layer, uint32_t number) {
    const uint32_t side = layer.side, out_side = (side + layer.stride - 1) / layer.stride;
    const uint32_t runs = round_up(out_side, RUN) / RUN;
    const uint32_t row = number / runs, frame = row / out_side;
    if (frame >= layer.frames)
        return {0, 0, 0, 0};
    const uint32_t out_y = row % out_side, out_x = number % runs * RUN;
    return {frame * side, out_y * layer.stride - 1, out_x * layer.stride - 1,
            (row * out_side + out_x) << 3 | smaller(RUN, out_side - out_x)};
}

/// What makes four channels, `word` of them in.
struct Taps {
    /// Of each column of the window and each channel: its three taps, and a zero.
    uint4 weights[3];
    int4 bias;
    float4 scale;

    BODY Taps(uint8_t *memory, const Separable &layer, uint32_t word) {
        for (uint32_t i = 0; i < 3; i++)
            weights[i] = constant(at<uint4>(memory, layer.depthwise) + i * (layer.channels / 4) + word);
        bias = constant(at<int4>(memory, layer.depthwise_bias) + word);
        scale = constant(at<float4>(memory, layer.depthwise_scale) + word);
    }

    /// Four channels of a run, `pitch` bytes apart. Each column of pixels is loaded once, and turned into columns of taps. What is
    /// outside of the frame is loaded from its edge and counts for nothing, which is cheaper than to load it not.
    template <uint32_t STRIDE>
    BODY void apply(uint8_t *memory, const Separable &layer, uint32_t word, const Run &run, uint8_t *to, uint32_t pitch) const {
        const uint8_t *in = at<uint8_t>(memory, layer.in);
        // Bytes of all frames fit 32 bits: the host sees to it.
        const uint32_t last = layer.side - 1;
        uint32_t firsts[3], row_inside[3];
#pragma unroll
        for (uint32_t i = 0; i < 3; i++) {
            const uint32_t y = smaller(run.y + i, last);
            firsts[i] = (run.frame + y) * layer.side * layer.channels + 4 * word;
            row_inside[i] = run.y + i == y ? 0xFFFFFFFF : 0;
        }
        int4 sums[RUN];
#pragma unroll
        for (uint32_t pixel = 0; pixel < RUN; pixel++)
            sums[pixel] = bias;
#pragma unroll
        for (uint32_t column = 0; column < (RUN - 1) * STRIDE + 3; column++) {
            const uint32_t x = smaller(run.x + column, last), inside = run.x + column == x ? 0xFFFFFFFF : 0;
            uint32_t rows[3];
#pragma unroll
            for (uint32_t i = 0; i < 3; i++)
                rows[i] = *reinterpret_cast<const uint32_t *>(in + firsts[i] + x * layer.channels) & row_inside[i] & inside;
            // Each channel's three taps, and a fourth that counts for nothing.
            const uint32_t low = bytes(rows[0], rows[1], 0x5140), high = bytes(rows[0], rows[1], 0x7362);
            const uint32_t taps[4] = {bytes(low, rows[2], 0x4410), bytes(low, rows[2], 0x5532),
                                      bytes(high, rows[2], 0x6610), bytes(high, rows[2], 0x7732)};
#pragma unroll
            for (uint32_t pixel = 0; pixel < RUN; pixel++)
                if (column >= pixel * STRIDE && column - pixel * STRIDE < 3) {
                    const uint4 weight = weights[column - pixel * STRIDE];
                    sums[pixel].x = dot4(sums[pixel].x, taps[0], weight.x);
                    sums[pixel].y = dot4(sums[pixel].y, taps[1], weight.y);
                    sums[pixel].z = dot4(sums[pixel].z, taps[2], weight.z);
                    sums[pixel].w = dot4(sums[pixel].w, taps[3], weight.w);
                }
        }
#pragma unroll
        for (uint32_t pixel = 0; pixel < RUN; pixel++)
            *reinterpret_cast<uint32_t *>(to + pixel * pitch) = requantize(sums[pixel], scale);
    }
};

/// Fills the rows: each thread stays with its four channels, whose numbers it loads once.
template <uint32_t STRIDE>
BODY void separable_depthwise(uint32_t t, uint8_t *memory, const Separable &layer, uint8_t *rows, const Run *runs) {
    const uint32_t words = layer.channels / 4, pitch = separable_pitch(layer.channels);
    const uint32_t span = smaller(words, THREADS), lines = THREADS / span;
    if (t < lines * span)
        for (uint32_t word = t % span; word < words; word += span) {
            const Taps taps(memory, layer, word);
            for (uint32_t run = t / span; run < layer.pixels / RUN; run += lines)
                taps.apply<STRIDE>(memory, layer, word, runs[run], rows + 4 * word + run * RUN * pitch, pitch);
        }
    // Channels up to a whole step of the product.
    const uint32_t rest = round_up(layer.channels, 32) / 4 - words;
    for (uint32_t i = t; i < rest * layer.pixels; i += THREADS)
        *reinterpret_cast<uint32_t *>(rows + i / rest * pitch + 4 * (words + i % rest)) = 0;
}

/// Steps of a product that are written out side by side, so that weights come while others are used. On sm_80 four would spill.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 800
constexpr uint32_t STEPS = 2;
#else
constexpr uint32_t STEPS = 4;
#endif

/// Sums of 32 pixels and a group of 32 channels out. A lane's are those of eight channels side by side: number `i & 1` of product `j`
/// is channel `8 (lane % 4) + 2 j + (i & 1)` of the group.
struct Product {
    PerLane<Sums> sums[2][4];

    /// Begins with each channel's bias, or with zeros.
    BODY Product(uint8_t *memory, const Separable &layer, uint32_t group, bool biased) {
        EACH_LANE(l) {
            int4 low = {0, 0, 0, 0}, high = low;
            if (biased) {
                const int4 *bias = at<int4>(memory, layer.pointwise_bias) + group * 8 + l % 4 * 2;
                low = constant(bias), high = constant(bias + 1);
            }
#pragma unroll
            for (uint32_t tile = 0; tile < 2; tile++) {
                sums[tile][0][l] = {{low.x, low.y, low.x, low.y}};
                sums[tile][1][l] = {{low.z, low.w, low.z, low.w}};
                sums[tile][2][l] = {{high.x, high.y, high.x, high.y}};
                sums[tile][3][l] = {{high.z, high.w, high.z, high.w}};
            }
        }
    }

    /// Adds 32 pixels, from `rows` on, times so many `steps` of 32 channels in.
    BODY void run(const uint8_t *rows, uint32_t pitch, const uint4 *packed, uint32_t steps) {
#pragma unroll STEPS
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
    }
};

/// Where a lane's sum of 32 pixels and 32 channels stands among those that warps add up.
BODY uint32_t separable_sum(uint32_t tile, uint32_t j, uint32_t number, uint32_t lane) {
    return ((tile * 4 + j) * 4 + number) * LANES + lane;
}

/// Eight sums of a lane, those of a pixel, become channels out.
BODY void separable_store(uint8_t *memory, const Separable &layer, const Run &run, uint32_t pixel, uint32_t channel,
                          const int32_t (&sums)[8]) {
    if (pixel >= run.pixels() || channel >= layer.outputs)
        return;
    const float4 *scale = at<float4>(memory, layer.pointwise_scale) + channel / 4;
    uint8_t *out = at<uint8_t>(memory, layer.out) + size_t(run.pixel() + pixel) * layer.outputs + channel;
    *reinterpret_cast<uint2 *>(out) = {
        requantize({sums[0], sums[1], sums[2], sums[3]}, constant(scale)),
        requantize({sums[4], sums[5], sums[6], sums[7]}, constant(scale + 1)),
    };
}

template <uint32_t STRIDE> BODY void separable(const Block &block, uint8_t *memory, const Separable &layer) {
    const uint32_t pitch = separable_pitch(layer.channels), steps = round_up(layer.channels, 32) / 32;
    const uint32_t all = round_up(layer.outputs, 32) / 32, first_group = block.y * layer.groups;
    const uint32_t groups = smaller(layer.groups, all - first_group), strips = round_up(layer.pixels, 32) / 32;
    const uint32_t products = strips * groups, parts = layer.parts;
    uint8_t *rows = block.shared;
    Run *runs = reinterpret_cast<Run *>(rows + strips * 32 * pitch);
    uint32_t *added = reinterpret_cast<uint32_t *>(runs + layer.pixels / RUN);
    EACH_THREAD(t) {
        for (uint32_t run = t; run < layer.pixels / RUN; run += THREADS)
            runs[run] = run_of(layer, block.x * (layer.pixels / RUN) + run);
        if (parts > 1)
            for (uint32_t i = t; i < products * 32 * 32; i += THREADS)
                added[i] = 0;
    }
    block.wait();
    block.barrier();
    EACH_THREAD(t) { separable_depthwise<STRIDE>(t, memory, layer, rows, runs); }
    block.barrier();

    const uint4 *packed = at<uint4>(memory, layer.pointwise) + size_t(first_group) * steps * 2 * LANES;
    const auto of_product = [&](uint32_t product, uint32_t lane, uint32_t tile, uint32_t half, const int32_t(&sums)[8]) {
        const uint32_t pixel = product % strips * 32 + 16 * tile + 8 * half + lane / 4;
        const uint32_t channel = (first_group + product / strips) * 32 + lane % 4 * 8;
        if (pixel < layer.pixels)
            separable_store(memory, layer, runs[pixel / RUN], pixel % RUN, channel, sums);
    };
    EACH_WARP(w) {
        for (uint32_t item = w; item < products * parts; item += WARPS) {
            const uint32_t product = item / parts, part = item % parts;
            const uint32_t first = part * steps / parts, behind = (part + 1) * steps / parts;
            Product of(memory, layer, first_group + product / strips, part == 0);
            of.run(rows + product % strips * 32 * pitch + 32 * first, pitch,
                   packed + size_t(product / strips * steps + first) * 2 * LANES, behind - first);
            EACH_LANE(l) {
#pragma unroll
                for (uint32_t tile = 0; tile < 2; tile++)
#pragma unroll
                    for (uint32_t half = 0; half < 2; half++) {
                        const auto two = [&](uint32_t j) { return of.sums[tile][j][l].number + 2 * half; };
                        const int32_t sums[8] = {two(0)[0], two(0)[1], two(1)[0], two(1)[1],
                                                 two(2)[0], two(2)[1], two(3)[0], two(3)[1]};
                        if (parts == 1)
                            of_product(product, l, tile, half, sums);
                        else
#pragma unroll
                            for (uint32_t i = 0; i < 8; i++)
                                add(added + product * 32 * 32 + separable_sum(tile, i / 2, 2 * half + i % 2, l), uint32_t(sums[i]));
                    }
            }
        }
    }
    if (parts == 1)
        return;
    block.barrier();
    EACH_WARP(w) {
        for (uint32_t item = w; item < products * 4; item += WARPS) {
            const uint32_t product = item / 4, tile = item / 2 % 2, half = item % 2;
            EACH_LANE(l) {
                int32_t sums[8];
#pragma unroll
                for (uint32_t i = 0; i < 8; i++)
                    sums[i] = int32_t(added[product * 32 * 32 + separable_sum(tile, i / 2, 2 * half + i % 2, l)]);
                of_product(product, l, tile, half, sums);
            }
        }
    }
}
