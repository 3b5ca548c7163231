/* The filter on a ring that another process fills, such as `hitgate feed`, under either policy.
 *
 *   run MODEL.hgm /dev/shm/RING [FRAMES]
 *
 * prints a line for each frame until the writer closes the ring. With FRAMES the link breaks after so many of them: those
 * that are kept from then on are lost, each with a line. */
#define _POSIX_C_SOURCE 200809L
#include "ring.h"

#include <limits.h>

/* Stands for your link: whether the frame went out. `judged->slot` has `judged->slot_len` bytes, header first, and they
 * stay until the slot is returned or lost. */
static int send_frame(const hitgate_judged *judged, unsigned long *carries) {
    if (*carries == 0) {
        return 0;
    }
    --*carries;
    return judged->slot_len >= HITGATE_HEADER_LEN;
}

/* The slot goes back either way, by this thread or another, in any order; a frame that was not sent has to be named. */
static int pass_on(hitgate_path *path, const hitgate_judged *judged, unsigned long *carries) {
    hitgate_record lost;
    if (send_frame(judged, carries)) {
        return failed("return", hitgate_path_return(path, judged->record.seq));
    }
    if (failed("lose", hitgate_path_lose(path, judged->record.seq, &lost))) {
        return 1;
    }
    printf("lost frame %llu\n", (unsigned long long)lost.frame_number);
    return 0;
}

/* Judges frames until none comes any more, over a link that carries so many. */
static int judge(hitgate_path *path, unsigned long carries) {
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
        if (judged.slot && pass_on(path, &judged, &carries)) {
            return 1;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: run MODEL.hgm RING [FRAMES]\n");
        return 2;
    }
    unsigned long carries = argc == 4 ? strtoul(argv[3], NULL, 10) : ULONG_MAX;
    uint8_t *engine_memory = NULL;
    hitgate_engine *engine = right_version() ? engine_for(argv[1], 0, &engine_memory) : NULL;
    int wrong = 1;
    if (engine) {
        ring_end end;
        wrong = enter_ring(&end, argv[2], engine) || judge(end.path, carries);
        wrong |= leave_ring(&end);
    }
    free(engine_memory);
    return wrong;
}
