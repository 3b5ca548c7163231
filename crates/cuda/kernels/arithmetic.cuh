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

/// The sum as f32 to nearest even, times `scale` to nearest even, rounded half to even: three roundings that IEEE 754 defines, so
/// that no machine may answer otherwise. What is beyond 127 is some integer beyond it, and what is below 0 not above it.
BODY int32_t scaled(int32_t sum, float scale) {
#ifdef __CUDACC__
    return __float2int_rn(__fmul_rn(__int2float_rn(sum), scale));
#else
    return int32_t(std::lrintf(std::fmin(std::fmax(float(sum) * scale, -1.0f), 128.0f)));
#endif
}

/// Four activations of neighbouring channels, cut to 0..=127. (As integers: a bound that is one may be put before or behind a
/// rounding.)
BODY uint32_t requantize(int4 sums, float4 scales) {
    const int32_t x = scaled(sums.x, scales.x), y = scaled(sums.y, scales.y);
    const int32_t z = scaled(sums.z, scales.z), w = scaled(sums.w, scales.w);
#ifdef __CUDACC__
    uint32_t high, all, below;
    // To -128..=127: the second operand is the lowest byte, the first the next, and the third's half is put above.
    asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(high) : "r"(w), "r"(z), "r"(0));
    asm("cvt.pack.sat.s8.s32.b32 %0, %1, %2, %3;" : "=r"(all) : "r"(y), "r"(x), "r"(high));
    // Of each byte its sign, eight times.
    asm("prmt.b32 %0, %1, 0, 0xBA98;" : "=r"(below) : "r"(all));
    return all & ~below;
#else
    const auto cut = [](int32_t a) { return uint32_t(a < 0 ? 0 : a > 127 ? 127 : a); };
    return cut(x) | cut(y) << 8 | cut(z) << 16 | cut(w) << 24;
#endif
}
