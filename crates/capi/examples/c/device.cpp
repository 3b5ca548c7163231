// Plays a DMA engine: makes a ring in shared memory, fills it, and waits until all of it is judged.
//
//   device /dev/shm/RING FRAMES [free-running]
//
// A free-running device has its own rate, waits for nobody, and overwrites what was not read in time.
//
// `hitgate run --ring /dev/shm/RING` judges them; RING.json tells it of the module.
#include "detector.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fstream>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace {

constexpr std::uint32_t slots = 8;
// Of a free-running device.
constexpr timespec period{0, 2000000};

std::uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000000u + static_cast<std::uint64_t>(now.tv_nsec);
}

std::uint32_t now_ms() { return static_cast<std::uint32_t>(now_ns() / 1000000u); }

// A new file of that many bytes, mapped; it and its description go with the object.
class Mapping {
public:
    Mapping(const std::string &path, std::size_t bytes) : path_(path), bytes_(bytes) {
        file_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
        if (file_ < 0 || posix_fallocate(file_, 0, static_cast<off_t>(bytes)) != 0) {
            return;
        }
        void *mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
        start_ = mapped == MAP_FAILED ? nullptr : static_cast<std::uint8_t *>(mapped);
    }
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    ~Mapping() {
        if (start_) {
            munmap(start_, bytes_);
        }
        if (file_ >= 0) {
            close(file_);
            unlink(path_.c_str());
            unlink((path_ + ".json").c_str());
        }
    }
    std::uint8_t *start() const { return start_; }
    std::size_t bytes() const { return bytes_; }

private:
    std::string path_;
    std::size_t bytes_;
    int file_ = -1;
    std::uint8_t *start_ = nullptr;
};

// What a detector's configuration service would say; it appears whole.
bool describe(const std::string &ring, std::uint64_t session) {
    const std::string draft = ring + ".json.draft";
    {
        std::ofstream file(draft);
        file << "{\"session\":" << session << ",\"modules\":[{\"columns\":" << COLUMNS << ",\"rows\":" << ROWS
             << ",\"pixel_type\":\"u16\",\"wavelength_A\":" << WAVELENGTH_A << ",\"distance_mm\":" << DISTANCE_MM
             << ",\"beam_center_px\":[" << BEAM_X << "," << BEAM_Y << "],\"pixel_mm\":" << PIXEL_MM << "}]}\n";
        if (!file.flush()) {
            return false;
        }
    }
    return std::rename(draft.c_str(), (ring + ".json").c_str()) == 0;
}

// Fills one slot. A full ring stalls the device; a free-running one is never full, and its reader may be looking at the
// slot: hardware writes there all the same, a program has the library copy.
bool put(hitgate_writer *writer, std::uint32_t policy, std::uint64_t number, const std::vector<std::uint16_t> &pixels) {
    hitgate_slot slot;
    hitgate_status status = hitgate_writer_reserve(writer, &slot);
    while (status == HITGATE_STATUS_FULL) {
        hitgate_writer_heartbeat(writer, now_ms());
        sched_yield();
        status = hitgate_writer_reserve(writer, &slot);
    }
    if (failed("reserve", status) || slot.payload_room < PAYLOAD_BYTES) {
        return false;
    }
    if (policy == HITGATE_RING_CREDIT) {
        std::memcpy(slot.payload, pixels.data(), PAYLOAD_BYTES);
    } else if (failed("write", hitgate_writer_write(writer, 0, reinterpret_cast<const std::uint8_t *>(pixels.data()),
                                                    PAYLOAD_BYTES))) {
        return false;
    }
    hitgate_header header;
    if (failed("header", hitgate_header_init(&header, ROWS, COLUMNS, HITGATE_PIXEL_U16))) {
        return false;
    }
    header.frame_number = number;
    header.arrival_ns = now_ns();
    hitgate_writer_heartbeat(writer, now_ms());
    return !failed("commit", hitgate_writer_commit(writer, &header));
}

} // namespace

int main(int argc, char **argv) {
    const bool runs_free = argc == 4 && std::strcmp(argv[3], "free-running") == 0;
    if ((argc != 3 && !runs_free) || hitgate_abi_version() != HITGATE_ABI_VERSION) {
        std::fprintf(stderr, "usage: device RING FRAMES [free-running]\n");
        return 2;
    }
    const std::uint32_t policy = runs_free ? HITGATE_RING_FREE_RUNNING : HITGATE_RING_CREDIT;
    const std::string path = argv[1];
    const std::uint64_t frames = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t session = now_ns();

    std::size_t bytes = 0;
    if (failed("shape", hitgate_ring_bytes(slots, static_cast<std::uint32_t>(SLOT_BYTES), slots, &bytes))) {
        return 1;
    }
    const Mapping mapping(path, bytes);
    if (!mapping.start()) {
        std::perror(path.c_str());
        return 1;
    }
    hitgate_memory needed;
    hitgate_writer *writer = nullptr;
    if (failed("ring", hitgate_ring_create(mapping.start(), bytes, slots, static_cast<std::uint32_t>(SLOT_BYTES), slots,
                                           policy, session)) ||
        failed("claim", hitgate_ring_claim(mapping.start(), bytes, HITGATE_RING_WRITER, 0,
                                           static_cast<std::uint32_t>(getpid()))) ||
        failed("writer memory", hitgate_writer_memory(&needed))) {
        return 1;
    }
    // 64 is the alignment that `needed.align` asks for.
    struct alignas(64) Line {
        std::uint8_t bytes[64];
    };
    std::vector<Line> memory((needed.bytes + sizeof(Line) - 1) / sizeof(Line));
    if (needed.align > alignof(Line) ||
        failed("writer", hitgate_writer_init(mapping.start(), bytes, memory.data()->bytes, needed.bytes, &writer)) ||
        !describe(path, session)) {
        return 1;
    }

    std::vector<std::uint16_t> pixels(static_cast<std::size_t>(COLUMNS) * ROWS);
    for (std::uint64_t number = 1; number <= frames; number++) {
        detector_frame(number, pixels.data());
        if (!put(writer, policy, number, pixels)) {
            return 1;
        }
        if (runs_free) {
            nanosleep(&period, nullptr);
        }
    }
    hitgate_ring_state state;
    do {
        hitgate_writer_heartbeat(writer, now_ms());
        sched_yield();
        if (failed("state", hitgate_ring_inspect(mapping.start(), bytes, &state))) {
            return 1;
        }
    } while (state.taken < frames);
    // Those that were lapped are taken, too.
    std::printf("produced %llu taken %llu stalls %llu lapped %llu\n", static_cast<unsigned long long>(state.produced),
                static_cast<unsigned long long>(state.taken), static_cast<unsigned long long>(state.stalls),
                static_cast<unsigned long long>(state.lapped));
    return failed("close", hitgate_writer_close(writer));
}
