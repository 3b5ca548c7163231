// Last activations → logits: a block takes a frame.
//
// Shared memory: three sums a thread, then the features.
#pragma once

#include "arithmetic.cuh"
#include "network.cuh"

BODY void head(const Block &block, uint8_t *memory, const Head &layer) {
    int32_t *sums = reinterpret_cast<int32_t *>(block.shared);
    uint32_t *features = reinterpret_cast<uint32_t *>(sums + 3 * THREADS);
    const uint32_t words = layer.channels / 4;
    const uint32_t *in = at<uint32_t>(memory, layer.in) + size_t(block.x) * layer.pixels * words;
    block.wait();
    EACH_THREAD(t) {
        for (uint32_t word = t; word < words; word += THREADS) {
            int4 sum = {0, 0, 0, 0};
#pragma unroll 8
            for (uint32_t pixel = 0; pixel < layer.pixels; pixel++) {
                const uint32_t four = in[size_t(pixel) * words + word];
                sum.x += int32_t(four & 0xFF);
                sum.y += int32_t(four >> 8 & 0xFF);
                sum.z += int32_t(four >> 16 & 0xFF);
                sum.w += int32_t(four >> 24);
            }
            features[word] = requantize(sum, constant(at<float4>(memory, layer.scale) + word));
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        for (uint32_t j = 0; j < 3; j++) {
            const uint32_t *weights = at<uint32_t>(memory, layer.weights) + j * words;
            int32_t sum = 0;
            for (uint32_t word = t; word < words; word += THREADS)
                sum = dot4(sum, features[word], constant(weights + word));
            sums[j * THREADS + t] = sum;
        }
    }
    for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
        block.barrier();
        EACH_THREAD(t) {
            if (t < half)
                for (uint32_t j = 0; j < 3; j++)
                    sums[j * THREADS + t] += sums[j * THREADS + t + half];
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        if (t < 3)
            at<int32_t>(memory, layer.logits)[3 * block.x + t] = layer.bias[t] + sums[t * THREADS];
    }
}
