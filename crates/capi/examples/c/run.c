/* The filter on a ring that another process fills, such as `hitgate feed`, under either policy.
 *
 *   run MODEL.hgm /dev/shm/RING
 *
 * prints a line for each frame until the writer closes the ring. */
#define _POSIX_C_SOURCE 200809L
#include "ring.h"

/* Judges frames until none comes any more. */
static int judge(hitgate_path *path) {
    for (;;) {
        hitgate_judged judged;
        hitgate_status status = step(path, &judged);
        if (status == HITGATE_STATUS_EMPTY) {
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
    uint8_t *engine_memory = NULL;
    hitgate_engine *engine = right_version() ? engine_for(argv[1], 0, &engine_memory) : NULL;
    int wrong = 1;
    if (engine) {
        ring_end end;
        wrong = enter_ring(&end, argv[2], engine) || judge(end.path);
        wrong |= leave_ring(&end);
    }
    free(engine_memory);
    return wrong;
}
