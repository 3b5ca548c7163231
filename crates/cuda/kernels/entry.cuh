// ENTRY(name, Parameters, body): a kernel that a host can launch by its name.
#pragma once

#include "block.cuh"

#ifdef __CUDACC__

#define ENTRY(name, Parameters, body)                                                                                  \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                              \
        hitgate_##name(uint8_t *memory, const __grid_constant__ Parameters parameters) {                               \
        extern __shared__ uint4 shared[];                                                                              \
        const Block block = {blockIdx.x, blockIdx.y, blockIdx.z, reinterpret_cast<uint8_t *>(shared)};                 \
        body(block, memory, parameters);                                                                               \
    }

#else

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

/// A kernel as it is launched on a CPU: its parameters are so many bytes.
struct Kernel {
    size_t parameters;
    void (*run)(const Block &, uint8_t *memory, const uint8_t *parameters);
};

inline std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> all;
    return all;
}

#define ENTRY(name, Parameters, body)                                                                                  \
    static const bool name##_is_known = kernels().emplace("hitgate_" #name, Kernel{sizeof(Parameters),                 \
        [](const Block &block, uint8_t *memory, const uint8_t *bytes) {                                                \
            Parameters parameters;                                                                                     \
            memcpy(&parameters, bytes, sizeof parameters);                                                             \
            body(block, memory, parameters);                                                                           \
            if (!block.waited)                                                                                         \
                abort();                                                                                               \
        }}).second;

#endif
