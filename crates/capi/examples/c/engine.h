/* An engine for the detector: what all programs that judge have in common. */
#ifndef ENGINE_H
#define ENGINE_H

#include "detector.h"

#include <stdlib.h>

/* The whole file at `path`, to be freed; null where it cannot be read. */
static inline uint8_t *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    uint8_t *content = NULL;
    long length = -1;
    if (file && fseek(file, 0, SEEK_END) == 0) {
        length = ftell(file);
    }
    if (length > 0 && fseek(file, 0, SEEK_SET) == 0) {
        content = (uint8_t *)malloc((size_t)length);
        if (content && fread(content, 1, (size_t)length, file) != (size_t)length) {
            free(content);
            content = NULL;
        }
    }
    if (file) {
        fclose(file);
    }
    *bytes = content ? (size_t)length : 0;
    return content;
}

/* Memory as a handle asks for it, to be freed. Firmware has an array instead. */
static inline uint8_t *memory_for(const hitgate_memory *memory) {
    size_t rounded = (memory->bytes + memory->align - 1) / memory->align * memory->align;
    return (uint8_t *)aligned_alloc(memory->align, rounded);
}

/* The engine in `*memory`, which is to be freed after the last call with it; null where there is none. Of so many frames
 * one is drawn as a sample. */
static inline hitgate_engine *engine_for(const char *model_path, uint32_t sample_one_in, uint8_t **memory) {
    hitgate_engine *engine = NULL;
    size_t model_len;
    uint8_t *model = read_file(model_path, &model_len);
    *memory = NULL;
    if (!model) {
        fprintf(stderr, "%s: cannot be read\n", model_path);
        return NULL;
    }
    hitgate_model_info info;
    if (!failed(model_path, hitgate_model_inspect(model, model_len, &info))) {
        hitgate_module module = detector_module(info.d_water);
        hitgate_engine_config config;
        memset(&config, 0, sizeof config);
        config.struct_size = (uint32_t)sizeof config;
        config.modules = &module;
        config.module_count = 1;
        config.model = model;
        config.model_len = model_len;
        config.threshold = HITGATE_THRESHOLD_OF_MODEL;
        config.sample_one_in = sample_one_in;
        hitgate_memory needed;
        if (!failed("engine memory", hitgate_engine_memory(&config, &needed))) {
            *memory = memory_for(&needed);
            if (!*memory || failed("engine", hitgate_engine_init(&config, *memory, needed.bytes, &engine))) {
                engine = NULL;
            }
        }
    }
    /* The engine has its own copy of the weights. */
    free(model);
    return engine;
}

/* Whether library and header belong together. */
static inline int right_version(void) {
    if (hitgate_abi_version() == HITGATE_ABI_VERSION) {
        return 1;
    }
    fprintf(stderr, "library of interface %u, header of %u\n", (unsigned)hitgate_abi_version(),
            (unsigned)HITGATE_ABI_VERSION);
    return 0;
}

#endif
