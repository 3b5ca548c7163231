// Counts → cells (PREP.md, sections 3, 4 and 6): a block of threads takes neighbouring cells of a row of them, a thread
// columns of pixels.
#pragma once

#include "pixels.cuh"

/// Cells of a block of threads: about one column a thread, and at least one cell.
BODY uint32_t cells_of_block(uint32_t block) { return block < THREADS ? THREADS / block : 1; }

/// What pixels of a cell add up to; only the fields that a reduction needs are used.
struct Cell {
    /// Sum of the counts.
    uint64_t sum;
    /// Valid pixels.
    uint32_t valid;
    /// Largest count, or largest sum of nine.
    uint32_t largest;
    /// Largest rest of nine.
    uint32_t rest;
    uint32_t unused;
};

/// The part of a block's pixels that is on the panel, and its cells.
struct Part {
    uint32_t first_cell, cells;
    uint32_t x_start, x_end, y_start, y_end;
    /// Column of the first cell, which may be off the panel.
    int64_t left;

    BODY Part(const Setting &of, const Prepare &batch, uint32_t tile, uint32_t row) {
        const uint32_t most = cells_of_block(of.block);
        first_cell = smaller(tile * most, batch.input);
        cells = smaller(most, batch.input - first_cell);
        left = of.left + int64_t(first_cell) * of.block;
        const int64_t top = of.top + int64_t(row) * of.block;
        cut(left, left + int64_t(cells) * of.block, of.x_start, of.x_end, x_start, x_end);
        cut(top, top + of.block, of.y_start, of.y_end, y_start, y_end);
    }

    BODY static void cut(int64_t from, int64_t to, uint32_t low, uint32_t high, uint32_t &start, uint32_t &end) {
        start = from > int64_t(low) ? uint32_t(from < int64_t(high) ? from : int64_t(high)) : low;
        end = to < int64_t(high) ? uint32_t(to > int64_t(start) ? to : int64_t(start)) : high;
        end = larger(start, end);
    }
};

/// Sum and largest of counts side by side.
struct Three {
    uint32_t sum, largest;
};

template <typename P> BODY Three three(const P &pixels, uint32_t x, uint32_t y, bool &valid) {
    const Setting &of = pixels.setting;
    Three all = {0, 0};
    valid = false;
    if (y < of.y_start || y >= of.y_end)
        return all;
#pragma unroll
    for (uint32_t i = 0; i < 3; i++) {
        // Before column 0 this is a large number, and so outside too.
        const uint32_t at_x = x + i - 1;
        uint32_t count;
        if (at_x >= of.x_start && at_x < of.x_end && pixels.read(at_x, y, count)) {
            count = smaller(count, 65535);
            all.sum += count;
            all.largest = larger(all.largest, count);
            valid |= i == 1;
        }
    }
    return all;
}

/// Column `x` of a part: its largest sum and rest of nine.
struct PeaksColumn {
    template <typename P> BODY static void take(const P &pixels, const Part &part, uint32_t x, Cell *cell) {
        uint32_t valid = 0, largest = 0, rest = 0;
        bool is_valid;
        Three above = three(pixels, x, part.y_start - 1, is_valid);
        Three here = three(pixels, x, part.y_start, is_valid);
        for (uint32_t y = part.y_start; y < part.y_end; y++) {
            valid += is_valid;
            const Three below = three(pixels, x, y + 1, is_valid);
            const uint32_t sum = above.sum + here.sum + below.sum;
            largest = larger(largest, sum);
            rest = larger(rest, sum - larger(above.largest, larger(here.largest, below.largest)));
            above = here, here = below;
        }
        add(&cell->valid, valid);
        raise(&cell->largest, largest);
        raise(&cell->rest, rest);
    }
};

struct MaximumColumn {
    template <typename P> BODY static void take(const P &pixels, const Part &part, uint32_t x, Cell *cell) {
        uint32_t valid = 0, largest = 0, count;
        for (uint32_t y = part.y_start; y < part.y_end; y++)
            if (pixels.read(x, y, count))
                valid++, largest = larger(largest, count);
        add(&cell->valid, valid);
        raise(&cell->largest, smaller(largest, 65535));
    }
};

struct MeanColumn {
    template <typename P> BODY static void take(const P &pixels, const Part &part, uint32_t x, Cell *cell) {
        uint32_t valid = 0, count;
        uint64_t sum = 0;
        for (uint32_t y = part.y_start; y < part.y_end; y++)
            if (pixels.read(x, y, count))
                valid++, sum += count;
        add(&cell->valid, valid);
        add(&cell->sum, sum);
    }
};

/// min(65535, floor((16 sum + floor(m / 2)) / m)), without leaving 64 bits.
BODY uint32_t mean_cell(const Cell &cell) {
    const uint64_t m = cell.valid;
    return cell.sum / m >= 4096 ? 65535 : smaller(uint32_t((16 * cell.sum + m / 2) / m), 65535);
}

BODY uint32_t first_channel(const PeaksColumn &, const Cell &cell) { return cell.largest; }
BODY uint32_t first_channel(const MaximumColumn &, const Cell &cell) { return cell.largest; }
BODY uint32_t first_channel(const MeanColumn &, const Cell &cell) { return mean_cell(cell); }

/// Blocks along x are tiles of cells, along y rows of cells, along z frames.
template <typename Column> BODY void cells(const Block &block, uint8_t *memory, const Prepare &batch) {
    block.wait();
    Cell *found = reinterpret_cast<Cell *>(block.shared);
    const uint32_t frame = batch.first + block.z, row = block.y;
    if (block.x == 0 && row == 0)
        EACH_THREAD(t) {
            if (t < batch.channels)
                at<Totals>(memory, batch.totals)[frame * batch.channels + t] = {0, 0, 0, 0, 0};
        }
    const Setting *setting = setting_of(memory, batch, frame);
    if (setting == nullptr)
        return;
    const Part part(*setting, batch, block.x, row);
    EACH_THREAD(t) {
        if (t < part.cells)
            found[t] = {0, 0, 0, 0, 0};
    }
    block.barrier();
    EACH_THREAD(t) {
        with_pixels(memory, batch, *setting, frame, [&](const auto &pixels) {
            for (uint32_t x = part.x_start + t; x < part.x_end; x += THREADS)
                Column::take(pixels, part, x, found + uint32_t(x - part.left) / setting->block);
        });
    }
    block.barrier();
    EACH_THREAD(t) {
        if (t < part.cells) {
            const uint32_t *seen = at<uint32_t>(memory, setting->seen) + 2 * row;
            const uint32_t u = part.first_cell + t;
            const bool valid = u >= seen[0] && u < seen[1] && found[t].valid > 0;
            const size_t place = size_t(row) * batch.input + u;
            uint32_t *channel = plane<uint32_t>(memory, batch.cells, batch, frame * batch.channels);
            channel[place] = valid ? first_channel(Column(), found[t]) : INVALID;
            if (batch.channels == 2)
                channel[place + size_t(batch.input) * batch.input] = valid ? found[t].rest : INVALID;
        }
    }
}
