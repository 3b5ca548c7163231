/* The preparation of PREP.md in C11: plain loops, integers only, nothing but the C library.
 *
 *     cc -std=c11 -O2 prep.c -o prep && ./prep < description-and-frame > map
 *
 * Input, all of it little endian and without gaps:
 *     u32 pixel type (1 u8, 2 u16, 3 u32, 4 i16, 5 i32), u32 columns, u32 rows,
 *     u32 reduction (0 maximum, 1 mean, 4 peaks), u32 saturation (0xFFFFFFFF: none),
 *     i32 left, i32 top, u32 block, u32 input, u32 radius (0xFFFFFFFF: everywhere),
 *     u32 m (0 or 1: whether a mask follows), u32 n (0 to 8), n mask values of i64,
 *     where m is 1 (columns * rows + 7) / 8 bytes of mask, columns * rows pixels.
 * Output: the map, input * input cells row by row, the channels of a cell together.
 * Exit status: 0, 1 where the input is wrong, 3 where no pixel of the window was measured. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INVALID UINT32_MAX
#define EVERYWHERE UINT32_MAX
enum { MAXIMUM = 0, MEAN = 1, PEAKS = 4 };

static uint32_t type, columns, rows, reduction, saturation, block, input, radius;
static int32_t left, top;
static int64_t *counts; /* of each pixel of the frame; -1 where it is excluded */

static void fail(const char *why) {
    fprintf(stderr, "prep: %s\n", why);
    exit(1);
}

static uint64_t get(unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        int byte = getchar();
        if (byte == EOF) fail("the input ends early");
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void *room(uint64_t n, size_t size) {
    void *memory = calloc(n ? n : 1, size);
    if (!memory) fail("not enough memory");
    return memory;
}

/* The number that a word of `bits` bits in two's complement stands for. */
static int64_t twos(uint64_t word, unsigned bits) {
    uint64_t sign = UINT64_C(1) << (bits - 1);
    return word & sign ? -(int64_t)((sign - (word & (sign - 1))) - 1) - 1 : (int64_t)word;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* PREP.md 2: bytes to counts. */
static void read_frame(void) {
    static const unsigned sizes[] = {0, 1, 2, 4, 2, 4};
    type = get(4), columns = get(4), rows = get(4), reduction = get(4), saturation = get(4);
    left = (int32_t)twos(get(4), 32), top = (int32_t)twos(get(4), 32);
    block = get(4), input = get(4), radius = get(4);
    uint32_t has_mask = get(4), n = get(4);
    if (type < 1 || type > 5) fail("the pixel type must be 1 to 5");
    if (reduction != MAXIMUM && reduction != MEAN && reduction != PEAKS) fail("the reduction must be 0, 1 or 4");
    if (columns > 65535 || rows > 65535) fail("a frame has at most 65535 columns and rows");
    if (!block || !input || input > 4096 || (uint64_t)block * input > 1 << 30) fail("no such window");
    if (has_mask > 1 || n > 8) fail("there are at most one mask and 8 mask values");
    int64_t values[8];
    for (uint32_t i = 0; i < n; i++) values[i] = twos(get(8), 64);
    uint64_t pixels = (uint64_t)columns * rows, bytes = has_mask ? (pixels + 7) / 8 : 0;
    uint8_t *mask = room(bytes, 1);
    for (uint64_t i = 0; i < bytes; i++) mask[i] = (uint8_t)get(1);
    counts = room(pixels, sizeof *counts);
    for (uint64_t i = 0; i < pixels; i++) {
        uint64_t word = get(sizes[type]);
        int64_t value = type >= 4 ? twos(word, 8 * sizes[type]) : (int64_t)word;
        counts[i] = smaller(larger(value, 0), saturation);
        for (uint32_t j = 0; j < n; j++)
            if (values[j] == value) counts[i] = -1;
        if (has_mask && mask[i / 8] >> i % 8 & 1) counts[i] = -1;
    }
    free(mask);
}

/* PREP.md 3: whether cell (u, v) lies in the disc. */
static int sees(int64_t u, int64_t v) {
    if (radius == EVERYWHERE) return 1;
    int64_t x = (2 * u + 1 - input) * block, y = (2 * v + 1 - input) * block;
    int64_t r = 2 * smaller(radius, 1 << 30); /* no cell is farther than that */
    return x * x + y * y <= r * r;
}

/* The count of pixel (x, y) of the window and the panel, or -1. */
static int64_t count(int64_t x, int64_t y) {
    int64_t side = (int64_t)block * input;
    if (x < left || x >= left + side || y < top || y >= top + side) return -1;
    return x < 0 || x >= columns || y < 0 || y >= rows ? -1 : counts[y * columns + x];
}

/* PREP.md 4 and 6: a block to its cell of each channel; false where none of its pixels is valid. */
static int reduce(int64_t u, int64_t v, uint32_t cell[2]) {
    int64_t first_x = left + u * block, first_y = top + v * block;
    uint64_t n = 0, sum = 0, largest = 0, largest_sum = 0, largest_rest = 0;
    for (int64_t y = larger(first_y, 0); y < smaller(first_y + block, rows); y++)
        for (int64_t x = larger(first_x, 0); x < smaller(first_x + block, columns); x++) {
            int64_t nine = 0, most = 0, c = count(x, y);
            for (int64_t j = y - 1; j <= y + 1; j++)
                for (int64_t i = x - 1; i <= x + 1; i++) {
                    int64_t near = smaller(larger(count(i, j), 0), 65535);
                    nine += near;
                    most = larger(most, near);
                }
            largest_sum = larger(largest_sum, nine);
            largest_rest = larger(largest_rest, nine - most);
            if (c < 0) continue;
            n++;
            sum += c;
            largest = larger(largest, c);
        }
    if (n == 0) return 0;
    cell[0] = cell[1] = reduction == MAXIMUM ? smaller(largest, 65535) : smaller((16 * sum + n / 2) / n, 65535);
    if (reduction == PEAKS) cell[0] = largest_sum, cell[1] = largest_rest;
    return 1;
}

static uint32_t isqrt(uint32_t x) {
    uint32_t root = 0;
    for (uint32_t bit = 1 << 15; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= x) root |= bit;
    return root;
}

/* PREP.md 5: cells to levels in units of the local noise, to every second byte of the map. */
static void contrast(const uint32_t *cells, uint8_t *map) {
    int64_t side = input, all = side * side, total = 0, valid = 0;
    int32_t *roots = room(all, sizeof *roots), *d = room(all, sizeof *d);
    for (int64_t i = 0; i < all; i++)
        if (cells[i] != INVALID) roots[i] = (int32_t)isqrt(512 * (8 * cells[i] + 3));
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            int64_t sum = 0, n = 0, at = y * side + x;
            if (cells[at] == INVALID) continue;
            for (int64_t j = larger(y - 3, 0); j <= smaller(y + 3, side - 1); j++)
                for (int64_t i = larger(x - 3, 0); i <= smaller(x + 3, side - 1); i++)
                    if (cells[j * side + i] != INVALID) sum += roots[j * side + i], n++;
            d[at] = (int32_t)(roots[at] - (sum + n / 2) / n);
            total += abs(d[at]);
            valid++;
        }
    int64_t most = 4 * larger((total + valid - 1) / valid, 13);
    for (int64_t y = 0; y < side; y++)
        for (int64_t x = 0; x < side; x++) {
            int64_t sum = 0, n = 0, at = y * side + x;
            if (cells[at] == INVALID) continue;
            for (int64_t j = larger(y - 8, 0); j <= smaller(y + 8, side - 1); j++)
                for (int64_t i = larger(x - 8, 0); i <= smaller(x + 8, side - 1); i++)
                    if (cells[j * side + i] != INVALID) sum += smaller(abs(d[j * side + i]), most), n++;
            int64_t unit = larger(sum, 13 * n), up = 8 * d[at] * n;
            int64_t level = up / unit - (up % unit < 0); /* rounded down */
            map[2 * at] = (uint8_t)smaller(larger(24 + level, 1), 127);
        }
    free(roots);
    free(d);
}

/* PREP.md 6: cells to levels by their rank. */
static void equalize(const uint32_t *cells, uint64_t valid, uint8_t *map) {
    uint64_t *up_to = room(65536, sizeof *up_to);
    for (int64_t i = 0; i < (int64_t)input * input; i++)
        if (cells[i] != INVALID) up_to[cells[i]]++;
    for (int64_t level = 1; level < 65536; level++) up_to[level] += up_to[level - 1];
    for (int64_t i = 0; i < (int64_t)input * input; i++)
        if (cells[i] != INVALID) map[i] = (uint8_t)(up_to[cells[i]] * 127 / valid);
    free(up_to);
}

int main(void) {
    read_frame();
    uint64_t all = (uint64_t)input * input, valid = 0, bytes = reduction == PEAKS ? 2 * all : all;
    uint32_t *cells[2] = {room(all, sizeof **cells), room(all, sizeof **cells)};
    uint8_t *map = room(bytes, 1);
    for (uint64_t i = 0; i < all; i++) {
        uint32_t cell[2] = {INVALID, INVALID};
        if (sees((int64_t)(i % input), (int64_t)(i / input)))
            valid += (uint64_t)reduce((int64_t)(i % input), (int64_t)(i / input), cell);
        cells[0][i] = cell[0], cells[1][i] = cell[1];
    }
    if (valid == 0) return 3;
    if (reduction == PEAKS) contrast(cells[0], map), contrast(cells[1], map + 1);
    else equalize(cells[0], valid, map);
    return fwrite(map, 1, bytes, stdout) == bytes && fflush(stdout) == 0 ? 0 : 1;
}
