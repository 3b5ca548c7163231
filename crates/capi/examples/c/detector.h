/* A detector that does not exist: 512 x 512 pixels of 16 bits. Its frames are made by formula, so that the
 * examples and `hitgate screen` can judge the same ones. */
#ifndef DETECTOR_H
#define DETECTOR_H

#include <hitgate.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS 512
#define ROWS 512
#define PAYLOAD_BYTES ((size_t)COLUMNS * ROWS * sizeof(uint16_t))
#define SLOT_BYTES (HITGATE_HEADER_LEN + PAYLOAD_BYTES) /* a multiple of 64 */

#define WAVELENGTH_A 1.0
#define DISTANCE_MM 120.0
#define PIXEL_MM 0.172
#define BEAM_X 250.5
#define BEAM_Y 260.5

/* What the engine has to know of the module, for a model with this water ring. */
static inline hitgate_module detector_module(double d_water) {
    double two_theta = 2.0 * asin(WAVELENGTH_A / (2.0 * d_water));
    hitgate_module module;
    memset(&module, 0, sizeof module);
    module.struct_size = (uint32_t)sizeof module;
    module.columns = COLUMNS;
    module.rows = ROWS;
    module.pixel_type = HITGATE_PIXEL_U16;
    module.beam_x = (int32_t)floor(BEAM_X);
    module.beam_y = (int32_t)floor(BEAM_Y);
    module.radius = (uint32_t)ceil(DISTANCE_MM * tan(two_theta) / PIXEL_MM);
    return module;
}

static inline uint32_t detector_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Frame `number`: some background, and a spot or none, up to fifty, on every frame in turn. */
static inline void detector_frame(uint64_t number, uint16_t *pixels) {
    static const uint32_t spots_of[4] = {0, 50, 6, 20};
    uint32_t state = (uint32_t)number * 2654435761u + 1u;
    for (size_t i = 0; i < (size_t)COLUMNS * ROWS; i++) {
        pixels[i] = (uint16_t)(detector_random(&state) % 4u);
    }
    for (uint32_t spot = spots_of[number % 4]; spot > 0; spot--) {
        double angle = detector_random(&state) % 6283u / 1000.0;
        double radius = 30.0 + detector_random(&state) % 150u;
        size_t x = (size_t)(BEAM_X + radius * cos(angle));
        size_t y = (size_t)(BEAM_Y + radius * sin(angle));
        for (size_t dy = 0; dy < 3; dy++) {
            for (size_t dx = 0; dx < 3; dx++) {
                uint16_t counts = dx == 1 && dy == 1 ? 120 : 25;
                pixels[(y + dy - 1) * COLUMNS + x + dx - 1] += counts;
            }
        }
    }
}

/* One line a record, in the words of `hitgate screen`. */
static inline void print_record(const hitgate_record *record) {
    static const char *const classes[3] = {"hit", "maybe", "miss"};
    static const char *const verdicts[12] = {"",     "miss",    "veto",  "hit",  "maybe", "sample", "forced",
                                             "late", "partial", "fault", "lost", "shadow"};
    printf("frame %llu class %s keep %s reason %s p_hit %.5f p_maybe %.5f p_miss %.5f\n",
           (unsigned long long)record->frame_number, record->frame_class < 3 ? classes[record->frame_class] : "none",
           HITGATE_KEEPS(record->verdict) ? "true" : "false", record->verdict < 12 ? verdicts[record->verdict] : "?",
           record->p_hit / 65536.0, record->p_maybe / 65536.0, record->p_miss / 65536.0);
}

/* Says what went wrong; 0 where nothing did. */
static inline int failed(const char *what, hitgate_status status) {
    if (status == HITGATE_STATUS_OK) {
        return 0;
    }
    fprintf(stderr, "%s: %s\n", what, hitgate_status_text(status));
    return 1;
}

#endif
