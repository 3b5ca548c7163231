// Runs launches of the kernels on a CPU, one block after another.
//
// Reads, as little-endian u32: bytes of the device's memory; launches; whether threads run backwards; then the memory's bytes;
// then each launch: bytes of its name, grid x, y, z, bytes of shared memory, bytes of parameters, the name, the
// parameters. Writes the memory as the launches left it. Shared memory is a heap block of exactly the size that was asked for,
// filled with what no kernel may rely on: a sanitizer sees who reads or writes beyond it.

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../../kernels/kernels.cu"

static void fail(const char *what) {
    fprintf(stderr, "host: %s\n", what);
    exit(1);
}

static void read(void *to, size_t bytes) {
    if (fread(to, 1, bytes, stdin) != bytes) fail("the input ends early");
}

static uint32_t word() {
    uint32_t word;
    read(&word, sizeof word);
    return word;
}

struct Aligned {
    void operator()(uint8_t *bytes) const { free(bytes); }
};

static std::unique_ptr<uint8_t, Aligned> room(size_t bytes, int held) {
    // So much as was asked for, and no padding behind it.
    void *at = nullptr;
    if (posix_memalign(&at, UNIT, bytes ? bytes : 1) != 0) fail("out of memory");
    memset(at, held, bytes);
    return std::unique_ptr<uint8_t, Aligned>(static_cast<uint8_t *>(at));
}

int main() {
    const uint32_t bytes = word(), launches = word();
    backwards = word() != 0;
    const auto memory = room(bytes, 0);
    read(memory.get(), bytes);
    for (uint32_t launch = 0; launch < launches; launch++) {
        const uint32_t named = word(), x = word(), y = word(), z = word(), shared = word(), parameters = word();
        std::string name(named, ' ');
        read(name.data(), named);
        std::vector<uint8_t> given(parameters);
        read(given.data(), parameters);
        const auto kernel = kernels().find(name);
        if (kernel == kernels().end()) fail(("no kernel " + name).c_str());
        if (kernel->second.parameters != parameters) fail(("other parameters than those of " + name).c_str());
        for (uint32_t n = 0; n < x * y * z; n++) {
            const uint32_t i = turn(n, x * y * z);
            const auto room_shared = room(shared, 0xA5);
            kernel->second.run({i % x, i / x % y, i / x / y, room_shared.get()}, memory.get(), given.data());
        }
    }
    return fwrite(memory.get(), 1, bytes, stdout) == bytes && fflush(stdout) == 0 ? 0 : 1;
}
