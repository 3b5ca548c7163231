/* The same on a guarded path, which drops only what was shown, and under which the engine is changed without a pause.
 *
 *   guarded MODEL.hgm /dev/shm/RING
 *
 * prints a line for each frame, and one where the path arms itself or judges by the other engine. */
#define _POSIX_C_SOURCE 200809L
#include "ring.h"

#include <pthread.h>

/* A frame has a spot where a pixel has so many counts, and is a hit with so many spots. */
#define SPOT 100
#define HIT 4

/* Frames that are judged before another engine is made, and meanwhile. */
#define SOME 100

/* At most a tenth of the hits may be lost, of the last 10,000 frames. `hitgate run` asks for more than an example that
 * sees a thousand. */
static const hitgate_interlock_rules rules = {(uint32_t)sizeof(hitgate_interlock_rules), 6554, 10000, 16};

/* The second look: a spot finder, or your indexer, on a thread of your own if it is slow. */
static uint32_t is_hit(const hitgate_judged *judged) {
    const uint8_t *payload = judged->slot + HITGATE_HEADER_LEN;
    unsigned spots = 0;
    for (size_t i = 0; i < (size_t)COLUMNS * ROWS; i++) {
        uint16_t pixel;
        memcpy(&pixel, payload + i * sizeof pixel, sizeof pixel);
        spots += pixel >= SPOT;
    }
    return spots >= HIT;
}

/* Judges the next frame, takes it for a hit or not where it was drawn, and arms the path where that is enough: it disarms
 * itself whenever it is not. A node tries a few times a second. */
static hitgate_status judge(hitgate_path *path) {
    hitgate_judged judged;
    hitgate_status status;
    do {
        status = step(path, &judged);
    } while (status == HITGATE_STATUS_EMPTY);
    if (status != HITGATE_STATUS_OK) {
        return status;
    }
    print_record(&judged.record);
    if (judged.slot) {
        if (judged.record.reasons & HITGATE_REASON_SAMPLE) {
            status = hitgate_path_looked(path, &judged.record, is_hit(&judged));
        }
        if (status == HITGATE_STATUS_OK) {
            status = hitgate_path_return(path, judged.record.seq);
        }
    }
    if (status == HITGATE_STATUS_OK) {
        status = hitgate_path_arm(path);
    }
    return status == HITGATE_STATUS_NOT_ARMED ? HITGATE_STATUS_OK : status;
}

static int judge_some(hitgate_path *path, unsigned frames) {
    hitgate_status status = HITGATE_STATUS_OK;
    while (frames-- > 0 && status == HITGATE_STATUS_OK) {
        status = judge(path);
    }
    return failed("judge", status);
}

/* In shadow, which keeps every frame, until second looks have shown enough. */
static int judge_until_armed(hitgate_path *path) {
    hitgate_interlock seen;
    do {
        if (judge_some(path, 1) || failed("interlock", hitgate_path_interlock(path, &seen))) {
            return 1;
        }
    } while (seen.state != HITGATE_INTERLOCK_ARMED);
    printf("armed after %llu frames: %.1f %% of the hits may be lost\n",
           (unsigned long long)(seen.kept.frames + seen.missed.frames), seen.loss_bound / 655.36);
    return 0;
}

/* What goes to the thread that makes the other engine, and what comes back. */
typedef struct {
    const char *model;
    hitgate_path *path;
    hitgate_engine *engine;
    uint8_t *memory;
    int wrong;
} successor;

/* Packs and proves another engine, here one that draws fewer frames, and has the path judge by it. */
static void *succeed(void *of) {
    successor *next = (successor *)of;
    next->engine = engine_for(next->model, 3, &next->memory);
    next->wrong = !next->engine || failed("swap", hitgate_path_swap(next->path, next->engine));
    return NULL;
}

/* Judges by the engine in `*memory`, then by another one, in memory that is `*memory` from then on. */
static int filter(const char *model, hitgate_path *path, uint8_t **memory) {
    successor next = {model, path, NULL, NULL, 1};
    const hitgate_engine *judging = NULL;
    pthread_t maker;
    if (failed("guard", hitgate_path_guard(path, &rules)) || judge_until_armed(path) ||
        judge_some(path, SOME) || pthread_create(&maker, NULL, succeed, &next) != 0) {
        return 1;
    }
    int wrong = judge_some(path, SOME);
    /* An example waits, so that it ends the same way each time. A node judges on, and asks what follows now and then. */
    wrong |= pthread_join(maker, NULL) != 0 || next.wrong;
    while (!wrong && judging != next.engine) {
        wrong = judge_some(path, 1) || failed("engine", hitgate_path_engine(path, &judging));
    }
    if (wrong) {
        /* Nobody steps any more. */
        free(next.memory);
        return 1;
    }
    /* A step has taken the other engine: the memory of the one before is free. */
    free(*memory);
    *memory = next.memory;
    printf("swapped\n");
    /* What one engine has shown is no proof of another. */
    wrong = judge_until_armed(path);
    hitgate_status status = HITGATE_STATUS_OK;
    while (!wrong && status == HITGATE_STATUS_OK) {
        status = judge(path);
    }
    return wrong || (status != HITGATE_STATUS_END && failed("judge", status));
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: guarded MODEL.hgm RING\n");
        return 2;
    }
    uint8_t *engine_memory = NULL;
    /* One frame of two is drawn, and looked at again. */
    hitgate_engine *engine = right_version() ? engine_for(argv[1], 2, &engine_memory) : NULL;
    int wrong = 1;
    if (engine) {
        ring_end end;
        wrong = enter_ring(&end, argv[2], engine) || filter(argv[1], end.path, &engine_memory);
        wrong |= leave_ring(&end);
    }
    free(engine_memory);
    return wrong;
}
