/* The filter on a ring that another process fills, such as `hitgate feed`.
 *
 *   run MODEL.hgm /dev/shm/RING
 *
 * prints a line for each frame until the writer closes the ring. */
#define _POSIX_C_SOURCE 200809L
#include "engine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void *context) {
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Takes the reading end, unless a live process has it. An owner's lowest 22 bits are its process id. */
static int claim(uint8_t *mapping, size_t bytes) {
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

/* Judges frames until none comes any more. */
static int judge(hitgate_path *path) {
    for (;;) {
        hitgate_judged judged;
        hitgate_status status = hitgate_path_step(path, &judged);
        if (failed("heartbeat", hitgate_path_heartbeat(path, (uint32_t)(now_ns(NULL) / 1000000u)))) {
            return 1;
        }
        if (status == HITGATE_STATUS_EMPTY) {
            sched_yield();
            continue;
        }
        if (status == HITGATE_STATUS_END) {
            return 0;
        }
        if (failed("step", status)) {
            return 1;
        }
        print_record(&judged.record);
        if (judged.slot) {
            /* The frame goes out here: judged.slot has judged.slot_len bytes, header first, and they stay until the slot
             * is returned, by this thread or another, in any order. */
            if (failed("return", hitgate_path_return(path, judged.record.seq))) {
                return 1;
            }
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: run MODEL.hgm RING\n");
        return 2;
    }
    int file = open(argv[2], O_RDWR);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0) {
        perror(argv[2]);
        return 1;
    }
    size_t bytes = (size_t)about.st_size;
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    uint8_t *mapping = (uint8_t *)mapped;

    int wrong = 1;
    uint8_t *engine_memory = NULL, *path_memory = NULL;
    hitgate_engine *engine = right_version() ? engine_for(argv[1], &engine_memory) : NULL;
    hitgate_memory needed;
    if (engine && !failed("path memory", hitgate_path_memory(mapping, bytes, &needed)) && !claim(mapping, bytes)) {
        hitgate_node node;
        hitgate_path *path;
        memset(&node, 0, sizeof node);
        node.struct_size = (uint32_t)sizeof node;
        node.now_ns = now_ns;
        path_memory = memory_for(&needed);
        if (path_memory &&
            !failed("path", hitgate_path_init(mapping, bytes, engine, &node, path_memory, needed.bytes, &path))) {
            hitgate_counters counters;
            wrong = judge(path) || failed("counters", hitgate_path_counters(path, &counters));
            if (!wrong) {
                printf("received %llu expected %llu lost %llu\n", (unsigned long long)counters.received,
                       (unsigned long long)counters.expected, (unsigned long long)counters.lost_source);
            }
            wrong |= failed("close", hitgate_path_close(path));
        }
        wrong |= failed("claim",
                        hitgate_ring_claim(mapping, bytes, HITGATE_RING_READER, (uint32_t)getpid(), 0));
    }
    free(path_memory);
    free(engine_memory);
    munmap(mapped, bytes);
    close(file);
    return wrong;
}
