// Cells → levels in units of the local noise (PREP.md, section 5): a block of threads takes a tile of cells, a thread one of
// them. What is near a cell is added up along rows first, and then of those sums along columns.
#pragma once

#include "preparation.cuh"

#ifndef __CUDACC__
#include <cmath>
#endif

constexpr uint32_t TILE_COLUMNS = 32, TILE_ROWS = THREADS / TILE_COLUMNS;
/// Cells that the background and the unit look at on each side.
constexpr uint32_t BACKGROUND = 3, NEIGHBOURHOOD = 8;
/// The least mean deviation.
constexpr uint32_t LEAST = 13;
/// The deviation of a cell without a measurement.
constexpr int32_t NO_DEVIATION = -0x7FFFFFFF - 1;

/// The largest integer whose square is at most `a`, for an `a` of 512 (8 cell + 3), where a cell is at most 589815.
BODY uint32_t root(uint32_t a) {
#ifdef __CUDACC__
    const uint32_t y = uint32_t(__fsqrt_rn(__uint2float_rn(a)));
#else
    const uint32_t y = uint32_t(std::sqrt(float(a)));
#endif
    // A multiple of 512 below 2^32 is an f32. Its root is rounded, and so may be the next integer; it is never less than its floor.
    return y - (y * y > a);
}

/// A sum over valid cells, and how many they are.
struct Near {
    uint32_t sum, cells;
};

/// The tile of a map that a block works on, with `REACH` more cells on each side.
template <uint32_t REACH> struct Tile {
    static constexpr uint32_t COLUMNS = TILE_COLUMNS + 2 * REACH, ROWS = TILE_ROWS + 2 * REACH;
    /// A number for each cell, 0 where there is no valid one, and whether there is.
    uint32_t value[ROWS][COLUMNS];
    uint32_t valid[ROWS][COLUMNS];
    /// Of each row what is near a column of the tile.
    Near near[ROWS][TILE_COLUMNS];

    /// `of` says of each cell of the map whether it is valid, and its value.
    template <typename Of> BODY void fill(uint32_t t, const Block &block, uint32_t input, const Of &of) {
        for (uint32_t i = t; i < ROWS * COLUMNS; i += THREADS) {
            // Before the first row or column this is a large number, and so outside too.
            const uint32_t row = i / COLUMNS, column = i % COLUMNS;
            const uint32_t v = block.y * TILE_ROWS + row - REACH, u = block.x * TILE_COLUMNS + column - REACH;
            uint32_t found = 0;
            const bool is_valid = u < input && v < input && of(size_t(v) * input + u, found);
            value[row][column] = is_valid ? found : 0;
            valid[row][column] = is_valid;
        }
    }

    BODY void add_rows(uint32_t t) {
        for (uint32_t i = t; i < ROWS * TILE_COLUMNS; i += THREADS) {
            const uint32_t row = i / TILE_COLUMNS, column = i % TILE_COLUMNS;
            Near all = {0, 0};
            for (uint32_t j = 0; j <= 2 * REACH; j++)
                all.sum += value[row][column + j], all.cells += valid[row][column + j];
            near[row][column] = all;
        }
    }

    BODY Near add_columns(uint32_t row, uint32_t column) const {
        Near all = {0, 0};
        for (uint32_t j = 0; j <= 2 * REACH; j++)
            all.sum += near[row + j][column].sum, all.cells += near[row + j][column].cells;
        return all;
    }
};

/// Steps 1 to 3. Blocks along x and y are tiles, along z the channels of the frames.
BODY void background(const Block &block, uint8_t *memory, const Prepare &batch) {
    struct Shared {
        Tile<BACKGROUND> tile;
        uint32_t deviation, valid;
    };
    block.wait();
    const uint32_t number = batch.first * batch.channels + block.z;
    if (setting_of(memory, batch, number / batch.channels) == nullptr)
        return;
    Shared &shared = *reinterpret_cast<Shared *>(block.shared);
    const uint32_t *cells = plane<uint32_t>(memory, batch.cells, batch, number);
    EACH_THREAD(t) {
        if (t == 0)
            shared.deviation = 0, shared.valid = 0;
        shared.tile.fill(t, block, batch.input, [&](size_t cell, uint32_t &value) {
            const uint32_t here = cells[cell];
            value = here == INVALID ? 0 : root(512 * (8 * here + 3));
            return here != INVALID;
        });
    }
    block.barrier();
    EACH_THREAD(t) { shared.tile.add_rows(t); }
    block.barrier();
    EACH_THREAD(t) {
        const uint32_t row = t / TILE_COLUMNS, column = t % TILE_COLUMNS;
        const uint32_t v = block.y * TILE_ROWS + row, u = block.x * TILE_COLUMNS + column;
        if (u < batch.input && v < batch.input) {
            int32_t deviation = NO_DEVIATION;
            if (shared.tile.valid[row + BACKGROUND][column + BACKGROUND] != 0) {
                const Near near = shared.tile.add_columns(row, column);
                deviation = int32_t(shared.tile.value[row + BACKGROUND][column + BACKGROUND]) -
                            int32_t((near.sum + near.cells / 2) / near.cells);
                add(&shared.deviation, uint32_t(deviation < 0 ? -deviation : deviation));
                add(&shared.valid, uint32_t(1));
            }
            plane<int32_t>(memory, batch.deviations, batch, number)[size_t(v) * batch.input + u] = deviation;
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        if (t == 0) {
            Totals *totals = at<Totals>(memory, batch.totals) + number;
            add(&totals->deviation, uint64_t(shared.deviation));
            add(&totals->valid_cells, shared.valid);
        }
    }
}

/// Steps 4 and 5, on the same blocks.
BODY void levels(const Block &block, uint8_t *memory, const Prepare &batch) {
    struct Shared {
        Tile<NEIGHBOURHOOD> tile;
        uint32_t most, levels, zeros;
    };
    block.wait();
    const uint32_t number = batch.first * batch.channels + block.z;
    const uint32_t frame = number / batch.channels, channel = number % batch.channels;
    if (setting_of(memory, batch, frame) == nullptr)
        return;
    Shared &shared = *reinterpret_cast<Shared *>(block.shared);
    const int32_t *deviations = plane<int32_t>(memory, batch.deviations, batch, number);
    Totals *totals = at<Totals>(memory, batch.totals) + number;
    EACH_THREAD(t) {
        if (t == 0) {
            const uint32_t valid = larger(totals->valid_cells, 1);
            shared.most = 4 * larger(uint32_t((totals->deviation + valid - 1) / valid), LEAST);
            shared.levels = 0, shared.zeros = 0;
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        shared.tile.fill(t, block, batch.input, [&](size_t cell, uint32_t &value) {
            const int32_t here = deviations[cell];
            if (here == NO_DEVIATION)
                return false;
            value = smaller(uint32_t(here < 0 ? -here : here), shared.most);
            return true;
        });
    }
    block.barrier();
    EACH_THREAD(t) { shared.tile.add_rows(t); }
    block.barrier();
    EACH_THREAD(t) {
        const uint32_t row = t / TILE_COLUMNS, column = t % TILE_COLUMNS;
        const uint32_t v = block.y * TILE_ROWS + row, u = block.x * TILE_COLUMNS + column;
        if (u < batch.input && v < batch.input) {
            const size_t cell = size_t(v) * batch.input + u;
            int32_t level = 0;
            if (shared.tile.valid[row + NEIGHBOURHOOD][column + NEIGHBOURHOOD] != 0) {
                const Near near = shared.tile.add_columns(row, column);
                const int32_t unit = int32_t(larger(near.sum, LEAST * near.cells));
                const int32_t up = 8 * deviations[cell] * int32_t(near.cells);
                const int32_t down = up / unit - (up % unit < 0); // the floor
                level = 24 + down;
                level = level < 1 ? 1 : level > 127 ? 127 : level;
            }
            plane<uint8_t>(memory, batch.map, batch, frame * batch.channels)[cell * batch.channels + channel] = uint8_t(level);
            add(&shared.levels, uint32_t(level));
            add(&shared.zeros, uint32_t(level == 0));
        }
    }
    block.barrier();
    EACH_THREAD(t) {
        if (t == 0)
            add(&totals->levels, shared.levels), add(&totals->zeros, shared.zeros);
    }
}
