/* The reading end of a ring in a file: what both programs that judge one have in common. */
#ifndef RING_H
#define RING_H

#include "engine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void *context) {
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A mapping, and what lies in it. */
typedef struct {
    uint8_t *start;
    size_t bytes;
    hitgate_path *path;
    uint8_t *path_memory;
} ring_end;

/* Maps the ring at `path`; null where it cannot be done. */
static inline uint8_t *map_ring(const char *path, size_t *bytes) {
    struct stat about;
    void *mapped = MAP_FAILED;
    int file = open(path, O_RDWR);
    if (file >= 0 && fstat(file, &about) == 0) {
        *bytes = (size_t)about.st_size;
        mapped = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (mapped == MAP_FAILED) {
        perror(path);
    }
    if (file >= 0) {
        close(file);
    }
    return mapped == MAP_FAILED ? NULL : (uint8_t *)mapped;
}

/* Takes the reading end, unless a live process has it. An owner's lowest 22 bits are its process id. */
static inline int claim(uint8_t *mapping, size_t bytes) {
    hitgate_ring_state state;
    if (failed("ring", hitgate_ring_inspect(mapping, bytes, &state))) {
        return 1;
    }
    pid_t owner = (pid_t)(state.reader_owner & 0x3FFFFFu);
    if (owner != 0 && kill(owner, 0) == 0) {
        fprintf(stderr, "process %d has the reading end\n", (int)owner);
        return 1;
    }
    return failed("claim",
                  hitgate_ring_claim(mapping, bytes, HITGATE_RING_READER, state.reader_owner, (uint32_t)getpid()));
}

/* Becomes the reading end of the ring at `path`, judging by `engine`; 0 where it did. Either way `leave_ring`. */
static inline int enter_ring(ring_end *end, const char *path, const hitgate_engine *engine) {
    hitgate_memory needed;
    hitgate_node node;
    memset(&node, 0, sizeof node);
    node.struct_size = (uint32_t)sizeof node;
    node.now_ns = now_ns;
    memset(end, 0, sizeof *end);
    end->start = map_ring(path, &end->bytes);
    /* Of a free-running ring it is memory for copies of frames too. */
    if (!end->start || claim(end->start, end->bytes) ||
        failed("path memory", hitgate_path_memory(end->start, end->bytes, &needed))) {
        return 1;
    }
    end->path_memory = memory_for(&needed);
    return !end->path_memory || failed("path", hitgate_path_init(end->start, end->bytes, engine, &node, end->path_memory,
                                                                 needed.bytes, &end->path));
}

/* Stops in good order, and says what came. */
static inline int leave_ring(ring_end *end) {
    int wrong = 0;
    hitgate_counters counters;
    if (end->path && !failed("counters", hitgate_path_counters(end->path, &counters))) {
        unsigned long long unsent = 0;
        for (int place = 0; place < 4; place++) {
            unsent += counters.lost_link[place];
        }
        printf("received %llu expected %llu lost %llu lapped %llu unsent %llu\n", (unsigned long long)counters.received,
               (unsigned long long)counters.expected, (unsigned long long)counters.lost_source,
               (unsigned long long)counters.lost_lapped, unsent);
        wrong = failed("close", hitgate_path_close(end->path));
    }
    if (end->start) {
        /* Where it is another's nothing changes. */
        hitgate_ring_claim(end->start, end->bytes, HITGATE_RING_READER, (uint32_t)getpid(), 0);
        munmap(end->start, end->bytes);
    }
    free(end->path_memory);
    return wrong;
}

/* One step, and a sign of life. */
static inline hitgate_status step(hitgate_path *path, hitgate_judged *judged) {
    hitgate_status status = hitgate_path_step(path, judged);
    hitgate_path_heartbeat(path, (uint32_t)(now_ns(NULL) / 1000000u));
    if (status == HITGATE_STATUS_EMPTY) {
        sched_yield();
    }
    return status;
}

#endif
