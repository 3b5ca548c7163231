// What the host tells the kernels of the preparation: the same words as `src/settings.rs`. PREP.md is what they compute.
#pragma once

#include "block.cuh"

/// No such place.
constexpr uint32_t NOWHERE = 0xFFFFFFFF;
/// A cell without a measurement.
constexpr uint32_t INVALID = 0xFFFFFFFF;

/// Pixel types as a frame's header numbers them, and raw words of an integrating detector.
enum : uint32_t { U8 = 1, U16 = 2, U32 = 3, I16 = 4, I32 = 5, RAW = 6 };

/// How the frames of a module are prepared.
struct Setting {
    uint32_t columns, rows, pixel_type;
    /// Larger counts are cut to it.
    uint32_t saturation;
    /// The bits of the mask; `NOWHERE` is none.
    uint32_t mask;
    /// Declared values, as pixels store them, filled up with zeros.
    uint32_t values, value[8];
    /// Of raw words: pedestals and gains of three stages, a map after the other; and units from one storage cell to the next.
    uint32_t corrections, correction_units;
    /// Corner of the window, and pixels along the side of a cell.
    int32_t left, top;
    uint32_t block;
    /// The part of the window that lies on the panel.
    uint32_t x_start, x_end, y_start, y_end;
    /// Two words for each row of cells: the first cell that is seen, and the end of those.
    uint32_t seen;
};

/// A frame of a batch. Without a setting it is not prepared.
struct Job {
    uint32_t setting, storage_cell;
};

/// What is added up over a map's channel.
struct Totals {
    uint64_t deviation;
    uint32_t valid_cells;
    /// Sum of the levels, and how many of them are 0.
    uint32_t levels, zeros;
    uint32_t unused;
};

/// Frames of a batch, the first of which has number `first`.
struct Prepare {
    /// The pixels of the batch's frame 0, and units from one frame to the next.
    uint32_t pixels, pixel_units;
    uint32_t jobs, settings;
    /// For each channel of each frame `input * input` words: cells, and deviations from the background.
    uint32_t cells, deviations;
    /// For each channel of each frame.
    uint32_t totals;
    /// For each frame 65536 words; used by ranks alone.
    uint32_t histogram;
    uint32_t map;
    /// Cells along the side of a map, and bytes of a cell.
    uint32_t input, channels;
    uint32_t first;
};

BODY const Setting *setting_of(uint8_t *memory, const Prepare &batch, uint32_t frame) {
    const uint32_t setting = at<Job>(memory, batch.jobs)[frame].setting;
    return setting == NOWHERE ? nullptr : at<Setting>(memory, batch.settings) + setting;
}

/// Cells, or what becomes of them, of a channel of a frame.
template <typename T> BODY T *plane(uint8_t *memory, uint32_t place, const Prepare &batch, uint32_t number) {
    return at<T>(memory, place) + size_t(number) * batch.input * batch.input;
}
