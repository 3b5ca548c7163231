// Cells → levels by their rank (PREP.md, section 6), for the reductions of one channel.
#pragma once

#include "preparation.cuh"

constexpr uint32_t VALUES = 65536;

BODY uint32_t *histogram_of(uint8_t *memory, const Prepare &batch, uint32_t frame) {
    return at<uint32_t>(memory, batch.histogram) + size_t(frame) * VALUES;
}

/// Blocks along x are parts of a histogram, along y frames.
BODY void clear(const Block &block, uint8_t *memory, const Prepare &batch) {
    block.wait();
    const uint32_t frame = batch.first + block.y;
    EACH_THREAD(t) { histogram_of(memory, batch, frame)[block.x * THREADS + t] = 0; }
}

/// Blocks along x are parts of the cells, along y frames; as in `ranks`.
BODY void count(const Block &block, uint8_t *memory, const Prepare &batch) {
    block.wait();
    const uint32_t frame = batch.first + block.y;
    if (setting_of(memory, batch, frame) == nullptr)
        return;
    const uint32_t *cells = plane<uint32_t>(memory, batch.cells, batch, frame);
    EACH_THREAD(t) {
        const uint32_t cell = block.x * THREADS + t;
        if (cell < batch.input * batch.input && cells[cell] != INVALID)
            add(histogram_of(memory, batch, frame) + cells[cell], uint32_t(1));
    }
}

/// How many cells have at most each value. Blocks along x are frames, a thread takes a run of values.
BODY void accumulate(const Block &block, uint8_t *memory, const Prepare &batch) {
    block.wait();
    constexpr uint32_t RUN = VALUES / THREADS;
    uint32_t *sums = reinterpret_cast<uint32_t *>(block.shared);
    const uint32_t frame = batch.first + block.x;
    uint32_t *histogram = histogram_of(memory, batch, frame);
    EACH_THREAD(t) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < RUN; i++)
            sum += histogram[t * RUN + i];
        sums[t] = sum;
    }
    block.barrier();
    EACH_THREAD(t) {
        uint32_t sum = 0;
        for (uint32_t i = 0; i < t; i++)
            sum += sums[i];
        for (uint32_t i = 0; i < RUN; i++)
            histogram[t * RUN + i] = sum += histogram[t * RUN + i];
        if (t == THREADS - 1)
            at<Totals>(memory, batch.totals)[frame].valid_cells = sum;
    }
}

BODY void ranks(const Block &block, uint8_t *memory, const Prepare &batch) {
    block.wait();
    const uint32_t frame = batch.first + block.y;
    if (setting_of(memory, batch, frame) == nullptr)
        return;
    const uint32_t *cells = plane<uint32_t>(memory, batch.cells, batch, frame);
    Totals *totals = at<Totals>(memory, batch.totals) + frame;
    uint32_t *shared = reinterpret_cast<uint32_t *>(block.shared);
    EACH_THREAD(t) {
        if (t < 2)
            shared[t] = 0;
    }
    block.barrier();
    EACH_THREAD(t) {
        const uint32_t cell = block.x * THREADS + t;
        if (cell < batch.input * batch.input) {
            const bool valid = cells[cell] != INVALID;
            const uint32_t most = valid ? 127 * histogram_of(memory, batch, frame)[cells[cell]] : 0;
            const uint32_t level = most / larger(totals->valid_cells, 1);
            plane<uint8_t>(memory, batch.map, batch, frame)[cell] = uint8_t(level);
            add(shared, level);
            add(shared + 1, uint32_t(level == 0));
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        if (t == 0)
            add(&totals->levels, shared[0]), add(&totals->zeros, shared[1]);
    }
}
