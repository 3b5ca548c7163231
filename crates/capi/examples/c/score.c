/* Judges frames in memory.
 *
 *   score MODEL.hgm [FOLDER]
 *
 * prints a line for each of four frames, and writes them to FOLDER as frame_1.npy and so on, for `hitgate screen`. */
#include "engine.h"

#include <inttypes.h>

#define FRAMES 4

/* A frame as in a slot: header, then pixels, aligned for both. */
static union {
    hitgate_header header;
    uint8_t bytes[SLOT_BYTES];
} slot;

static int write_npy(const char *folder, uint64_t number, const uint16_t *pixels) {
    char path[4096];
    /* 128 bytes: magic, version, length of the text, the text, filled up with spaces. */
    uint8_t prelude[128];
    char text[119];
    int length = snprintf(path, sizeof path, "%s/frame_%" PRIu64 ".npy", folder, number);
    if (length < 0 || (size_t)length >= sizeof path) {
        return 1;
    }
    length = snprintf(text, sizeof text, "{'descr': '<u2', 'fortran_order': False, 'shape': (%d, %d), }", ROWS, COLUMNS);
    memset(prelude, ' ', sizeof prelude);
    memcpy(prelude, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(prelude + 10, text, (size_t)length);
    prelude[127] = '\n';
    FILE *file = fopen(path, "wb");
    if (!file) {
        perror(path);
        return 1;
    }
    size_t whole = fwrite(prelude, sizeof prelude, 1, file) + fwrite(pixels, PAYLOAD_BYTES, 1, file);
    return (fclose(file) == 0 && whole == 2) ? 0 : 1;
}

int main(int argc, char **argv) {
    uint8_t *memory = NULL;
    hitgate_engine *engine = NULL;
    int wrong = 1;
    if (argc < 2) {
        fprintf(stderr, "usage: score MODEL.hgm [FOLDER]\n");
        return 2;
    }
    if (right_version()) {
        engine = engine_for(argv[1], 0, &memory);
    }
    for (uint64_t number = 1; engine && number <= FRAMES; number++) {
        uint8_t *payload = slot.bytes + HITGATE_HEADER_LEN;
        static uint16_t pixels[COLUMNS * ROWS];
        detector_frame(number, pixels);
        memcpy(payload, pixels, PAYLOAD_BYTES);

        wrong = failed("header", hitgate_header_init(&slot.header, ROWS, COLUMNS, HITGATE_PIXEL_U16));
        slot.header.frame_number = number;
        wrong = wrong || failed("seal", hitgate_header_seal(&slot.header, &slot.header));

        hitgate_score score;
        hitgate_record record;
        wrong = wrong || failed("score", hitgate_engine_score(engine, slot.bytes, sizeof slot.bytes, &score)) ||
                failed("decide",
                       hitgate_engine_decide(engine, &slot.header, &score, HITGATE_EXTERNAL_NONE, 0, &record));
        if (wrong) {
            break;
        }
        print_record(&record);
        if (argc > 2 && write_npy(argv[2], number, pixels)) {
            wrong = 1;
            break;
        }
    }
    hitgate_counters counters;
    if (!wrong && !failed("counters", hitgate_engine_counters(engine, &counters))) {
        wrong = counters.received != FRAMES || counters.expected != counters.received;
    }
    free(memory);
    return wrong;
}
