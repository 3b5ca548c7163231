// A stand-in for libcuda.so, for machines without a GPU: the calls that src/driver makes, with the kernels run on the CPU.
//
// It is as late as a device may be: what a stream was given is done when somebody asks for it, and then in the order that says most.
// With "copies-last" a stream that copies goes on only where the others wait for it, so that what does not wait for its bytes works on
// old ones; with "copies-first" all copies are done before anything else, so that what overwrites too early shows. Memory that is neither
// pinned nor registered is read when the call is made, as CUDA has it; other memory when its turn comes.
//
// HITGATE_STAND_IN has words with commas between: copies-last, copies-first; version=N; devices=N; capability=NN; unregistered, which
// refuses to register memory; garbles, which brings wrong bytes of registered memory; init=N, which answers that to cuInit; loses=N, which fails the N-th replay and everything after it; hangs=N, which never ends the N-th;
// skips=N, which does nothing in its place.
// HITGATE_STAND_IN_LOG names a file that is told of what became of memory.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "../../kernels/kernels.cu"

namespace {

using Status = int;
enum : Status {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    NO_DEVICE = 100,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    NOT_REGISTERED = 713,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
};

using Time = std::chrono::steady_clock::time_point;

struct Event {
    /// How often it was recorded, and how often that has happened.
    uint64_t recorded = 0, happened = 0;
    Time at;
};

struct Launch {
    const Kernel *kernel;
    uint32_t grid[3], shared;
    uint8_t *memory;
    std::vector<uint8_t> parameters;

    void run() const {
        const uint32_t blocks = grid[0] * grid[1] * grid[2];
        // With what no kernel may rely on.
        std::vector<uint4> room(shared / sizeof(uint4) + 1);
        for (uint32_t i = 0; i < blocks; i++) {
            memset(static_cast<void *>(room.data()), 0xA5, room.size() * sizeof(uint4));
            const Block block = {i % grid[0], i / grid[0] % grid[1], i / grid[0] / grid[1], reinterpret_cast<uint8_t *>(room.data())};
            kernel->run(block, memory, parameters.data());
        }
    }
};

using Graph = std::vector<Launch>;

struct Work {
    std::function<void()> run;
    bool is_copy = false;
    /// It is not begun before this has happened so often.
    const Event *waits_for = nullptr;
    uint64_t times = 0;
};

struct Stream {
    std::deque<Work> work;
    bool records = false, hangs = false;
    Graph recorded;
};

struct Registration {
    const uint8_t *from;
    size_t bytes;
};

std::mutex lock;
std::vector<std::unique_ptr<Stream>> streams;
std::vector<Registration> registered, pinned;
uint64_t replays, by_dma, in_rows, in_windows, proved, staged, graphs;
/// How often this thread is in the context.
thread_local uint64_t entered;
/// What every call answers once the device is lost.
Status lost = SUCCESS;

/// The number after `word=`, or 1 for the word alone; 0 where it is not said.
int said(const std::string &word) {
    const char *all = getenv("HITGATE_STAND_IN");
    for (std::string rest = all ? all : ""; !rest.empty();) {
        const size_t end = rest.find(',');
        const std::string one = rest.substr(0, end);
        if (one == word) return 1;
        if (one.compare(0, word.size() + 1, word + "=") == 0) return atoi(one.c_str() + word.size() + 1);
        rest = end == std::string::npos ? "" : rest.substr(end + 1);
    }
    return 0;
}

/// What the device can do, in tens and ones.
int capability() { return said("capability") ? said("capability") : 90; }

/// For what the kernels were compiled that it loads: PTX of the least for what is newer than all of them.
int compiled_for() { return capability() > 90 ? 80 : capability(); }

void tell(const char *what, unsigned long long number) {
    if (const char *path = getenv("HITGATE_STAND_IN_LOG"))
        if (FILE *file = fopen(path, "a")) {
            fprintf(file, "%s %llu\n", what, number);
            fclose(file);
        }
}

bool holds(const std::vector<Registration> &all, const void *at, size_t bytes) {
    const uint8_t *from = static_cast<const uint8_t *>(at);
    for (const Registration &one : all)
        if (from >= one.from && from + bytes <= one.from + one.bytes) return true;
    return false;
}

/// Takes it out; whether it was there.
bool forget(std::vector<Registration> &all, const void *at) {
    for (size_t i = 0; i < all.size(); i++)
        if (all[i].from == at) {
            all.erase(all.begin() + long(i));
            return true;
        }
    return false;
}

bool is_ready(const Stream &stream) {
    if (stream.hangs || stream.work.empty()) return false;
    const Work &next = stream.work.front();
    return next.waits_for == nullptr || next.waits_for->happened >= next.times;
}

/// The stream whose next piece of work comes now; null where none can go on.
Stream *next() {
    const bool copies_last = !said("copies-first");
    Stream *other = nullptr;
    for (auto &stream : streams)
        if (is_ready(*stream)) {
            // What only waits or is noted goes with the copies of its stream.
            bool copies = false;
            for (const Work &work : stream->work) copies |= work.is_copy;
            if (copies != copies_last) return stream.get();
            other = stream.get();
        }
    return other;
}

void work() {
    while (Stream *stream = next()) {
        Work one = std::move(stream->work.front());
        stream->work.pop_front();
        if (one.run) one.run();
    }
}

Status give(Stream *stream, Work work) {
    if (lost != SUCCESS) return lost;
    stream->work.push_back(std::move(work));
    return SUCCESS;
}

} // namespace

using Guard = std::lock_guard<std::mutex>;

extern "C" {

Status cuDriverGetVersion(int *version) {
    *version = said("version") ? said("version") : 13000;
    return SUCCESS;
}

Status cuInit(unsigned) { return said("devices=0") || said("no-device") ? NO_DEVICE : said("init"); }

Status cuDeviceGetCount(int *count) {
    *count = 1;
    return SUCCESS;
}

Status cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return SUCCESS;
}

Status cuDeviceGetName(char *name, int bytes, int) {
    snprintf(name, size_t(bytes), "Stand-in");
    return SUCCESS;
}

Status cuDeviceGetAttribute(int *value, int which, int) {
    switch (which) {
    case 16: *value = 8; break;                // multiprocessors
    case 75: *value = capability() / 10; break;  // capability, major
    case 76: *value = capability() % 10; break;  // capability, minor
    case 113: *value = 1; break;               // memory registered for reading alone
    default: return INVALID_VALUE;
    }
    return SUCCESS;
}

Status cuDevicePrimaryCtxRetain(void **context, int) {
    static int primary;
    *context = &primary;
    return SUCCESS;
}

Status cuDevicePrimaryCtxRelease_v2(int) {
    const Guard guard(lock);
    tell("left-graphs", graphs);
    tell("left-current", entered);
    tell("by-dma", by_dma);
    tell("in-rows", in_rows);
    tell("in-windows", in_windows);
    tell("proved", proved);
    tell("staged", staged);
    tell("left-registered", registered.size());
    tell("left-pinned", pinned.size());
    tell("released", 1);
    return SUCCESS;
}

Status cuCtxPushCurrent_v2(void *) {
    if (lost == SUCCESS) entered++;
    return lost;
}

Status cuCtxPopCurrent_v2(void **) {
    if (entered == 0) return INVALID_VALUE;
    entered--;
    return SUCCESS;
}

Status cuStreamCreate(Stream **stream, unsigned) {
    const Guard guard(lock);
    if (lost != SUCCESS) return lost;
    streams.emplace_back(new Stream);
    *stream = streams.back().get();
    return SUCCESS;
}

Status cuStreamDestroy_v2(Stream *stream) {
    const Guard guard(lock);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i].get() == stream) streams.erase(streams.begin() + long(i));
    return lost;
}

Status cuStreamQuery(Stream *stream) {
    const Guard guard(lock);
    if (lost != SUCCESS) return lost;
    work();
    if (lost != SUCCESS) return lost;
    return stream->work.empty() ? SUCCESS : NOT_READY;
}

Status cuStreamSynchronize(Stream *stream) { return cuStreamQuery(stream); }

Status cuStreamBeginCapture_v2(Stream *stream, int) {
    stream->records = true;
    stream->recorded.clear();
    return SUCCESS;
}

Status cuStreamEndCapture(Stream *stream, Graph **graph) {
    stream->records = false;
    *graph = new Graph(std::move(stream->recorded));
    graphs++;
    return SUCCESS;
}

Status cuStreamWaitEvent(Stream *stream, Event *event, unsigned) {
    const Guard guard(lock);
    Work wait;
    wait.waits_for = event, wait.times = event->recorded;
    return give(stream, std::move(wait));
}

Status cuEventCreate(Event **event, unsigned) {
    *event = new Event;
    return SUCCESS;
}

Status cuEventRecord(Event *event, Stream *stream) {
    const Guard guard(lock);
    const uint64_t times = ++event->recorded;
    Work note;
    note.run = [event, times] { event->happened = times, event->at = std::chrono::steady_clock::now(); };
    return give(stream, std::move(note));
}

Status cuEventElapsedTime_v2(float *ms, Event *start, Event *end) {
    if (start->happened != start->recorded || end->happened != end->recorded) return NOT_READY;
    *ms = std::chrono::duration<float, std::milli>(end->at - start->at).count();
    return SUCCESS;
}

Status cuEventDestroy_v2(Event *event) {
    delete event;
    return lost;
}

Status cuModuleLoadData(void **module, const void *image) {
    // What begins a fatbin.
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    static int loaded;
    *module = &loaded;
    return magic == 0xBA55ED50 ? lost : INVALID_VALUE;
}

Status cuModuleUnload(void *) { return lost; }

Status cuModuleGetFunction(const Kernel **kernel, void *, const char *name) {
    const auto found = kernels().find(name);
    if (found == kernels().end()) return NOT_FOUND;
    *kernel = &found->second;
    return SUCCESS;
}

Status cuFuncGetParamInfo(const Kernel *kernel, size_t number, size_t *offset, size_t *bytes) {
    if (number > 1) return INVALID_VALUE;
    *offset = number * sizeof(void *);
    *bytes = number == 0 ? sizeof(void *) : kernel->parameters;
    return SUCCESS;
}

Status cuFuncGetAttribute(int *value, int which, const Kernel *) {
    *value = compiled_for();
    return which == 5 ? SUCCESS : INVALID_VALUE; // the version of PTX
}

struct Attribute {
    int id, pad;
    int value[16];
};

struct Config {
    unsigned grid[3], block[3], shared;
    Stream *stream;
    const Attribute *attributes;
    unsigned numbers;
};

Status cuLaunchKernelEx(const Config *config, const Kernel *kernel, void **parameters, void **) {
    const auto [x, y, z] = config->grid;
    Stream *stream = config->stream;
    // Nothing is launched but to be recorded.
    if (!stream->records || config->block[0] != THREADS || config->block[1] * config->block[2] != 1) return INVALID_VALUE;
    if (config->shared > 48 * 1024 || x * y * z == 0) return INVALID_VALUE;
    // What is behind a launch of its own record begins early (6) where the kernels wait.
    const bool begins_early = config->numbers == 1 && config->attributes->id == 6 && config->attributes->value[0] == 1;
    if (begins_early != (compiled_for() >= 90 && !stream->recorded.empty())) return INVALID_VALUE;
    Launch launch = {kernel, {x, y, z}, config->shared, nullptr, {}};
    memcpy(&launch.memory, parameters[0], sizeof launch.memory);
    const uint8_t *words = static_cast<const uint8_t *>(parameters[1]);
    launch.parameters.assign(words, words + kernel->parameters);
    stream->recorded.push_back(std::move(launch));
    return SUCCESS;
}

Status cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) {
    *executable = new Graph(*graph);
    graphs++;
    return SUCCESS;
}

Status cuGraphDestroy(Graph *graph) {
    delete graph;
    graphs--;
    return SUCCESS;
}

Status cuGraphExecDestroy(Graph *graph) {
    delete graph;
    graphs--;
    return lost;
}

Status cuGraphUpload(Graph *, Stream *) { return lost; }

Status cuGraphLaunch(Graph *graph, Stream *stream) {
    const Guard guard(lock);
    const uint64_t replay = ++replays;
    if (replay == uint64_t(said("loses"))) return lost = LAUNCH_FAILED;
    const bool hangs = replay == uint64_t(said("hangs")), skips = replay == uint64_t(said("skips"));
    Work launches;
    launches.run = [graph, stream, hangs, skips] {
        stream->hangs |= hangs;
        if (skips) return;
        for (const Launch &launch : *graph) launch.run();
    };
    const Status given = give(stream, std::move(launches));
    // What hangs has something behind it that never comes.
    return given != SUCCESS || !hangs ? given : give(stream, Work());
}

Status cuMemAlloc_v2(uint8_t **memory, size_t bytes) {
    void *at = nullptr;
    if (posix_memalign(&at, UNIT, bytes) != 0) return INVALID_VALUE;
    memset(at, 0xA5, bytes);
    *memory = static_cast<uint8_t *>(at);
    return lost;
}

Status cuMemFree_v2(uint8_t *memory) {
    free(memory);
    return lost;
}

Status cuMemHostAlloc(uint8_t **memory, size_t bytes, unsigned) {
    const Guard guard(lock);
    *memory = static_cast<uint8_t *>(malloc(bytes));
    pinned.push_back({*memory, bytes});
    return lost;
}

Status cuMemFreeHost(uint8_t *memory) {
    const Guard guard(lock);
    if (!forget(pinned, memory)) return INVALID_VALUE;
    // It may still be written to.
    for (const auto &stream : streams)
        if (stream->hangs) tell("freed-beside-work", 1);
    free(memory);
    return lost;
}

Status cuMemHostRegister_v2(uint8_t *memory, size_t bytes, unsigned flags) {
    const Guard guard(lock);
    if (said("unregistered")) return NOT_SUPPORTED;
    if (bytes == 0 || reinterpret_cast<uintptr_t>(memory) % 4096 != 0) return INVALID_VALUE;
    registered.push_back({memory, bytes});
    tell(flags == 8 ? "registered-read-only" : "registered", bytes);
    return lost;
}

Status cuMemHostUnregister(uint8_t *memory) {
    const Guard guard(lock);
    tell("unregistered", 1);
    return forget(registered, memory) ? lost : NOT_REGISTERED;
}

/// Of pageable memory: taken when this returns, and then copied in a stream that those which do not block do not wait for.
Status cuMemcpyHtoD_v2(uint8_t *to, const void *from, size_t bytes) {
    const Guard guard(lock);
    static Stream *const others = streams.emplace_back(new Stream).get();
    Work copy;
    copy.is_copy = true;
    const uint8_t *first = static_cast<const uint8_t *>(from);
    copy.run = [to, taken = std::vector<uint8_t>(first, first + bytes)] { memcpy(to, taken.data(), taken.size()); };
    return give(others, std::move(copy));
}

Status cuMemcpyHtoDAsync_v2(uint8_t *to, const void *from, size_t bytes, Stream *stream) {
    const Guard guard(lock);
    Work copy;
    copy.is_copy = true;
    if (holds(pinned, from, bytes)) {
        copy.run = [to, from, bytes] { memcpy(to, from, bytes); };
    } else if (holds(registered, from, bytes)) {
        by_dma++;
        copy.run = [to, from, bytes] {
            memcpy(to, from, bytes);
            if (said("garbles")) memset(to + bytes / 2, 0x11, bytes / 4);
        };
    } else {
        staged++;
        const uint8_t *first = static_cast<const uint8_t *>(from);
        copy.run = [to, taken = std::vector<uint8_t>(first, first + bytes)] { memcpy(to, taken.data(), taken.size()); };
    }
    return give(stream, std::move(copy));
}

struct Rows {
    size_t from_x, from_y;
    int from_kind;
    const uint8_t *from;
    uint8_t *from_device;
    void *from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_kind;
    void *to_host;
    uint8_t *to;
    void *to_array;
    size_t to_pitch;
    size_t bytes, rows;
};

Status cuMemcpy2DAsync_v2(const Rows *rows, Stream *stream) {
    const Guard guard(lock);
    const auto [from, to, from_pitch, to_pitch, bytes, n] =
        std::make_tuple(rows->from, rows->to, rows->from_pitch, rows->to_pitch, rows->bytes, rows->rows);
    const size_t span = (n - 1) * from_pitch + bytes;
    const bool plain = rows->from_kind == 1 && rows->to_kind == 2 && rows->from_x + rows->from_y + rows->to_x + rows->to_y == 0;
    const bool is_pinned = holds(pinned, from, span);
    if (!plain || n < 2 || from_pitch < bytes || to_pitch < bytes || (!is_pinned && !holds(registered, from, span)))
        return INVALID_VALUE;
    // A window keeps its place in its frame; of frames the first begins a unit, and they are as far apart as units are.
    if (is_pinned) proved++;
    else if (from_pitch == to_pitch && to_pitch % UNIT != 0) by_dma++, in_windows++;
    else by_dma += n, in_rows += n;
    Work copy;
    copy.is_copy = true;
    copy.run = [is_pinned, from = from, to = to, from_pitch = from_pitch, to_pitch = to_pitch, bytes = bytes, n = n] {
        for (size_t i = 0; i < n; i++) {
            memcpy(to + i * to_pitch, from + i * from_pitch, bytes);
            if (said("garbles") && !is_pinned) memset(to + i * to_pitch + bytes / 2, 0x11, bytes / 4);
        }
    };
    return give(stream, std::move(copy));
}

Status cuMemcpyDtoHAsync_v2(void *to, const uint8_t *from, size_t bytes, Stream *stream) {
    const Guard guard(lock);
    if (!holds(pinned, to, bytes)) return INVALID_VALUE;
    Work copy;
    copy.run = [to, from, bytes] { memcpy(to, from, bytes); };
    return give(stream, std::move(copy));
}
}
