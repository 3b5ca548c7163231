// One product of matrices on the tensor cores: 16 x 32 activations times 32 x 8 weights.
//
// Who holds what is the PTX ISA's, "Matrix Fragments for mma.m16n8k32" with .s8. With `row = lane / 4` and `four = lane % 4`:
//   activations, word i:  row  row + 8 (i & 1), columns 16 (i >> 1) + 4 four and the three after
//   weights, word i:      rows 16 i + 4 four and the three after, column row
//   sums, number i:       row  row + 8 (i >> 1), column 2 four + (i & 1)
#pragma once

#include "block.cuh"

struct Activations { uint32_t word[4]; };
struct Weights { uint32_t word[2]; };
struct Sums { int32_t number[4]; };

/// 16 rows of 32 bytes of shared memory, `pitch` bytes apart: a multiple of 16, as `from` is.
BODY void load(PerLane<Activations> &to, const uint8_t *from, uint32_t pitch) {
#ifdef __CUDACC__
    // Each lane names a row of one of four 8 x 16-byte matrices, and gets the words of its place in all four.
    const uint32_t lane = threadIdx.x % LANES;
    const uint32_t row = uint32_t(__cvta_generic_to_shared(from + lane % 16 * pitch + lane / 16 * 16));
    uint32_t(&word)[4] = to.own.word;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(word[0]), "=r"(word[1]), "=r"(word[2]), "=r"(word[3])
                 : "r"(row)
                 : "memory");
#else
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t i = 0; i < 4; i++) {
            const uint8_t *bytes = from + (lane / 4 + 8 * (i & 1)) * pitch + 16 * (i >> 1) + 4 * (lane % 4);
            to[lane].word[i] = *reinterpret_cast<const uint32_t *>(bytes);
        }
#endif
}

/// `sums` and the product.
BODY void multiply(PerLane<Sums> &sums, const PerLane<Activations> &a, const PerLane<Weights> &w) {
#ifdef __CUDACC__
    int32_t(&to)[4] = sums.own.number;
    const uint32_t(&rows)[4] = a.own.word;
    const uint32_t(&columns)[2] = w.own.word;
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(to[0]), "+r"(to[1]), "+r"(to[2]), "+r"(to[3])
        : "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "r"(columns[0]), "r"(columns[1]));
#else
    int8_t rows[16][32], columns[8][32];
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t byte = 0; byte < 4; byte++) {
            const uint32_t row = lane / 4, k = 4 * (lane % 4) + byte;
            for (uint32_t i = 0; i < 4; i++)
                rows[row + 8 * (i & 1)][16 * (i >> 1) + k] = int8_t(a[lane].word[i] >> 8 * byte);
            for (uint32_t i = 0; i < 2; i++)
                columns[row][16 * i + k] = int8_t(w[lane].word[i] >> 8 * byte);
        }
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t i = 0; i < 4; i++)
            for (uint32_t k = 0; k < 32; k++)
                sums[lane].number[i] += rows[lane / 4 + 8 * (i >> 1)][k] * columns[2 * (lane % 4) + (i & 1)][k];
#endif
}
