// The few operations that activations and sums go through, each with the bits of the CPU's.
#pragma once

#include "block.cuh"

#ifndef __CUDACC__
#include <cmath>
#endif

/// `sum` and the products of four signed bytes each.
BODY int32_t dot4(int32_t sum, uint32_t a, uint32_t b) {
#ifdef __CUDACC__
    return __dp4a(int32_t(a), int32_t(b), sum);
#else
    for (int i = 0; i < 4; i++)
        sum += int32_t(int8_t(a >> 8 * i)) * int32_t(int8_t(b >> 8 * i));
    return sum;
#endif
}

/// Bytes of `a` (0 to 3) and `b` (4 to 7), one for each hexadecimal digit of `order`, the lowest first.
BODY uint32_t bytes(uint32_t a, uint32_t b, uint32_t order) {
#ifdef __CUDACC__
    return __byte_perm(a, b, order);
#else
    const uint64_t both = uint64_t(b) << 32 | a;
    uint32_t out = 0;
    for (int i = 0; i < 4; i++)
        out |= uint32_t(both >> 8 * (order >> 4 * i & 7) & 0xFF) << 8 * i;
    return out;
#endif
}

/// The sum as f32 to nearest even, times `scale` to nearest even, cut to 0..=127, rounded half to even: three
/// roundings that IEEE 754 defines, so that no machine may answer otherwise.
BODY uint32_t requantize(int32_t sum, float scale) {
#ifdef __CUDACC__
    const float scaled = __fmul_rn(__int2float_rn(sum), scale);
    return uint32_t(__float2int_rn(fminf(fmaxf(scaled, 0.0f), 127.0f)));
#else
    const float scaled = float(sum) * scale;
    return uint32_t(std::lrintf(std::fmin(std::fmax(scaled, 0.0f), 127.0f)));
#endif
}

/// Four activations of neighbouring channels.
BODY uint32_t requantize(int4 sums, float4 scales) {
    return requantize(sums.x, scales.x) | requantize(sums.y, scales.y) << 8 | requantize(sums.z, scales.z) << 16 |
           requantize(sums.w, scales.w) << 24;
}
