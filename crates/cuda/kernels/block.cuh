// How a kernel is written, so that one source runs on a GPU and, block by block, on a CPU.
//
// A kernel is a function of its block. What threads do between two barriers stands in EACH_THREAD(t) { ... }: on the
// GPU that is the thread's own turn, on a CPU a loop over all of them, forwards or backwards, so that a result which
// hangs on the order of threads within a turn shows. What a thread keeps over a barrier lies in shared memory. What the
// lanes of a warp do together stands in EACH_WARP(w), and their registers are PerLane.
//
// From sm_90 on a launch begins while the one before it ends, for which each block waits with `block.wait()`: only behind it
// may memory be read that other launches write, or be written.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr uint32_t THREADS = 256;
constexpr uint32_t LANES = 32;
constexpr uint32_t WARPS = THREADS / LANES;

#ifdef __CUDACC__

#define BODY __device__ __forceinline__

struct Block {
    uint32_t x, y, z;
    uint8_t *shared;

    BODY void barrier() const { __syncthreads(); }

    /// Then the next launch may begin, and wait: not before, or the one behind it would take up its room too.
    BODY void wait() const {
#if __CUDA_ARCH__ >= 900
        asm volatile("griddepcontrol.wait;" ::: "memory");
        asm volatile("griddepcontrol.launch_dependents;");
#endif
    }
};

#define EACH_THREAD(t) if (const uint32_t t = threadIdx.x; true)
#define EACH_WARP(w) if (const uint32_t w = threadIdx.x / LANES; true)
#define EACH_LANE(l) if (const uint32_t l = threadIdx.x % LANES; true)

/// A register of each lane: here the thread's own.
template <typename T> struct PerLane {
    T own;
    BODY T &operator[](uint32_t) { return own; }
    BODY const T &operator[](uint32_t) const { return own; }
};

/// A word that no kernel ever writes: it may be read before `wait`.
template <typename T> BODY T constant(const T *at) { return __ldg(at); }

BODY void add(uint32_t *to, uint32_t n) { atomicAdd(to, n); }
BODY void add(uint64_t *to, uint64_t n) { atomicAdd((unsigned long long *)to, (unsigned long long)n); }
BODY void raise(uint32_t *to, uint32_t n) { atomicMax(to, n); }

#else

#define BODY inline

struct Block {
    uint32_t x, y, z;
    uint8_t *shared;

    /// Whether it has waited, without which it may not end.
    mutable bool waited = false;

    void barrier() const {}
    void wait() const { waited = true; }
};

/// Whether threads take their turns from the last to the first.
inline bool backwards = false;

inline uint32_t turn(uint32_t n, uint32_t of) { return backwards ? of - 1 - n : n; }

#define EACH(i, of) for (uint32_t turn_##i = 0, i; turn_##i < (of) && (i = turn(turn_##i, of), true); turn_##i++)
#define EACH_THREAD(t) EACH(t, THREADS)
#define EACH_WARP(w) EACH(w, WARPS)
#define EACH_LANE(l) EACH(l, LANES)

template <typename T> struct PerLane {
    T all[LANES];
    T &operator[](uint32_t lane) { return all[lane]; }
    const T &operator[](uint32_t lane) const { return all[lane]; }
};

struct alignas(8) uint2 { uint32_t x, y; };
struct alignas(16) uint4 { uint32_t x, y, z, w; };
struct alignas(16) int4 { int32_t x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };

template <typename T> T constant(const T *at) { return *at; }

template <typename T> void add(T *to, T n) { *to += n; }
inline void raise(uint32_t *to, uint32_t n) { *to = *to > n ? *to : n; }

#endif

/// Offsets in the device's memory count units of so many bytes.
constexpr uint32_t UNIT = 256;

template <typename T> BODY T *at(uint8_t *memory, uint32_t units) {
    return reinterpret_cast<T *>(memory + size_t(units) * UNIT);
}

BODY uint32_t round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }
BODY uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }
BODY uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }
