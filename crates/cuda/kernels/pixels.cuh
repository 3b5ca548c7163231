// Stored pixel → count (PREP.md, section 2).
#pragma once

#include "preparation.cuh"

/// (ADC − pedestal) · gain in 1/16 photon, rounded to f32 and then to an integer, both half to even; false where that is no
/// number. `gain` is an f16's bits, in photons per ADU; pedestals are in 1/4 ADU. See `crates/kernels/src/correct.rs`.
BODY bool photons(uint32_t word, uint32_t pedestal, uint32_t gain, uint32_t &count) {
    // Sign, exponent and fraction where an f32 has them. The exponents are 127 - 15 apart, and 2^2 makes sixteenths per quarter
    // of an ADU: the product is exact.
    const uint32_t bits = uint32_t(int32_t(int16_t(gain))) << 13 & 0x8FFFE000;
    const float unit = 5.192296858534828e33f; // 2^112
    const float quarters = float(int32_t(word << 2 & 0xFFFF) - int32_t(pedestal));
#ifdef __CUDACC__
    float factor = __fmul_rn(__uint_as_float(bits), unit * 4.0f);
    if ((bits & 0x0F800000) == 0x0F800000)
        factor = __uint_as_float(__float_as_uint(factor) | 0x7F800000);
    const float product = __fmul_rn(quarters, factor);
    count = __float2uint_rn(fminf(fmaxf(product, 0.0f), 2147483520.0f));
    return product == product;
#else
    float factor;
    memcpy(&factor, &bits, sizeof factor);
    factor *= unit * 4.0f;
    uint32_t of_factor;
    memcpy(&of_factor, &factor, sizeof factor);
    if ((bits & 0x0F800000) == 0x0F800000)
        of_factor |= 0x7F800000;
    memcpy(&factor, &of_factor, sizeof factor);
    const float product = quarters * factor;
    count = uint32_t(std::llrintf(std::fmin(std::fmax(product, 0.0f), 2147483520.0f)));
    return product == product;
#endif
}

/// The pixels of a frame; `P` is how one is stored.
template <typename P, bool IS_RAW = false> struct Pixels {
    const Setting &setting;
    const P *stored;
    const uint8_t *mask;
    /// Pedestals and gains of raw words, three maps of each.
    const uint16_t *correction;

    BODY Pixels(uint8_t *memory, const Prepare &batch, const Setting &of, uint32_t frame)
        : setting(of), stored(at<P>(memory, batch.pixels + frame * batch.pixel_units)),
          mask(of.mask == NOWHERE ? nullptr : at<uint8_t>(memory, of.mask)), correction(nullptr) {
        if (IS_RAW)
            correction = at<uint16_t>(memory, of.corrections + at<Job>(memory, batch.jobs)[frame].storage_cell * of.correction_units);
    }

    /// Whether the pixel is valid; its count then.
    BODY bool read(uint32_t x, uint32_t y, uint32_t &count) const {
        const uint32_t pixel = y * setting.columns + x;
        bool valid = mask == nullptr || (mask[pixel / 8] >> (pixel % 8) & 1) == 0;
        const P value = stored[pixel];
        if (IS_RAW) {
            // 00, 01 and 11 are stages, 10 is none.
            const uint32_t word = uint32_t(value), top = word >> 14, stage = top == 3 ? 2 : top;
            const size_t pixels = size_t(setting.columns) * setting.rows, of_stage = size_t(stage) * pixels + pixel;
            // A word of no stage has no maps: those of the third are read, and not used.
            valid &= photons(word, correction[of_stage], correction[3 * pixels + of_stage], count) && top != 2;
        } else {
            count = value > P(0) ? uint32_t(value) : 0;
            // As it is stored, without its sign.
            const uint32_t bits = uint32_t(value) & uint32_t(0xFFFFFFFF >> (32 - 8 * sizeof(P)));
            for (uint32_t i = 0; i < setting.values; i++)
                valid &= bits != setting.value[i];
        }
        count = smaller(count, setting.saturation);
        return valid;
    }
};

/// Calls `use` with the frame's pixels, whichever they are.
template <typename Use>
BODY void with_pixels(uint8_t *memory, const Prepare &batch, const Setting &setting, uint32_t frame, const Use &use) {
    switch (setting.pixel_type) {
    case U8: use(Pixels<uint8_t>(memory, batch, setting, frame)); break;
    case U16: use(Pixels<uint16_t>(memory, batch, setting, frame)); break;
    case U32: use(Pixels<uint32_t>(memory, batch, setting, frame)); break;
    case I16: use(Pixels<int16_t>(memory, batch, setting, frame)); break;
    case I32: use(Pixels<int32_t>(memory, batch, setting, frame)); break;
    case RAW: use(Pixels<uint16_t, true>(memory, batch, setting, frame)); break;
    }
}
