/* What an engine, a writer and a path ask of the caller, and how much stack their calls take.
 *
 *   memory MODEL.hgm [COLUMNS ROWS]
 *
 * The stack is measured: the calls run on a thread whose stack was painted before. */
#define _POSIX_C_SOURCE 200809L
#include "engine.h"

#include <pthread.h>

#define STACK_BYTES ((size_t)1 << 20)
#define PAINT 0xA7
#define SLOTS 64

static uint8_t *stack;
static uint8_t *model, *mapping;
static size_t model_len, mapping_bytes;
static uint32_t columns = COLUMNS, rows = ROWS;
static hitgate_engine_config config;
static hitgate_memory engine_needs, writer_needs, path_needs;
static uint8_t *engine_memory, *writer_memory, *path_memory;
static hitgate_engine *engine;
static hitgate_writer *writer;
static hitgate_path *path;
static size_t payload_bytes;

static int init(void) {
    hitgate_node node;
    memset(&node, 0, sizeof node);
    node.struct_size = (uint32_t)sizeof node;
    return failed("engine", hitgate_engine_init(&config, engine_memory, engine_needs.bytes, &engine)) ||
           failed("writer",
                  hitgate_writer_init(mapping, mapping_bytes, writer_memory, writer_needs.bytes, &writer)) ||
           failed("path", hitgate_path_init(mapping, mapping_bytes, engine, &node, path_memory, path_needs.bytes, &path));
}

static int step(void) {
    hitgate_slot slot;
    hitgate_header header;
    hitgate_judged judged;
    if (failed("reserve", hitgate_writer_reserve(writer, &slot)) ||
        failed("header", hitgate_header_init(&header, rows, columns, HITGATE_PIXEL_U16))) {
        return 1;
    }
    memset(slot.payload, 1, payload_bytes);
    return failed("commit", hitgate_writer_commit(writer, &header)) || failed("step", hitgate_path_step(path, &judged)) ||
           (judged.record.verdict == HITGATE_VERDICT_KEEP_FAULT) ||
           (judged.slot && failed("return", hitgate_path_return(path, judged.record.seq)));
}

static void *on_painted(void *work) {
    int (*run)(void) = *(int (**)(void))work;
    return run() ? work : NULL;
}

/* Bytes of stack that `run` takes, its frame and the thread's own included; 0 where it failed. */
static size_t stack_of(int (*run)(void)) {
    pthread_attr_t attributes;
    pthread_t thread;
    void *wrong = &attributes;
    size_t untouched = 0;
    memset(stack, PAINT, STACK_BYTES);
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, STACK_BYTES) != 0 ||
        pthread_create(&thread, &attributes, on_painted, &run) != 0 || pthread_join(thread, &wrong) != 0 || wrong) {
        return 0;
    }
    while (untouched < STACK_BYTES && stack[untouched] == PAINT) {
        untouched++;
    }
    return STACK_BYTES - untouched;
}

static int nothing(void) { return 0; }

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: memory MODEL.hgm [COLUMNS ROWS]\n");
        return 2;
    }
    if (argc == 4) {
        columns = (uint32_t)strtoul(argv[2], NULL, 10);
        rows = (uint32_t)strtoul(argv[3], NULL, 10);
    }
    model = read_file(argv[1], &model_len);
    if (!model || !right_version()) {
        fprintf(stderr, "%s: cannot be read\n", argv[1]);
        return 1;
    }
    payload_bytes = (size_t)columns * rows * sizeof(uint16_t);
    hitgate_module module = detector_module(3.4);
    module.radius = 0;
    module.columns = columns;
    module.rows = rows;
    memset(&config, 0, sizeof config);
    config.struct_size = (uint32_t)sizeof config;
    config.modules = &module;
    config.module_count = 1;
    config.model = model;
    config.model_len = model_len;
    config.threshold = HITGATE_THRESHOLD_OF_MODEL;

    uint32_t slot_bytes = (uint32_t)((HITGATE_HEADER_LEN + payload_bytes + 63) / 64 * 64);
    if (failed("engine memory", hitgate_engine_memory(&config, &engine_needs)) ||
        failed("writer memory", hitgate_writer_memory(&writer_needs)) ||
        failed("ring", hitgate_ring_bytes(SLOTS, slot_bytes, SLOTS, &mapping_bytes))) {
        return 1;
    }
    mapping = (uint8_t *)aligned_alloc(4096, (mapping_bytes + 4095) / 4096 * 4096);
    stack = (uint8_t *)aligned_alloc(4096, STACK_BYTES);
    engine_memory = memory_for(&engine_needs);
    writer_memory = memory_for(&writer_needs);
    if (!mapping || !stack || !engine_memory || !writer_memory ||
        failed("ring", hitgate_ring_create(mapping, mapping_bytes, SLOTS, slot_bytes, SLOTS, HITGATE_RING_CREDIT, 1)) ||
        failed("path memory", hitgate_path_memory(mapping, mapping_bytes, &path_needs))) {
        return 1;
    }
    path_memory = memory_for(&path_needs);

    size_t thread = stack_of(nothing);
    size_t init_stack = stack_of(init);
    size_t step_stack = init_stack ? stack_of(step) : 0;
    int wrong = !path_memory || !thread || init_stack <= thread || step_stack <= thread;
    if (!wrong) {
        printf("frames of %u x %u pixels of 16 bits\n", (unsigned)columns, (unsigned)rows);
        printf("model file     %9zu bytes\n", model_len);
        printf("engine         %9zu bytes\n", engine_needs.bytes);
        printf("writer         %9zu bytes\n", writer_needs.bytes);
        printf("path, %d slots %9zu bytes\n", SLOTS, path_needs.bytes);
        printf("stack of init  %9zu bytes\n", init_stack - thread);
        printf("stack of step  %9zu bytes\n", step_stack - thread);
    }
    free(path_memory);
    free(writer_memory);
    free(engine_memory);
    free(stack);
    free(mapping);
    free(model);
    return wrong;
}
