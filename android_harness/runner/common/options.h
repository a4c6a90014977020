/* The options file: `key value` lines, each known, none twice, every number bounded. */
#ifndef DVFL_OPTIONS_H
#define DVFL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MOST_NAME = 120, MOST_CORES = 1024 };

/* A file in the working directory: its name holds no slash. */
struct file_option {
    char name[MOST_NAME + 1];
    uint64_t bytes;
    char sha256[65];
};

struct options {
    bool times; /* mode `time`: the first clip again and again; else mode `run`: each clip once */
    struct file_option model;
    struct file_option input;
    uint64_t clips;
    char output[MOST_NAME + 1];
    char log[MOST_NAME + 1];
    char trace[MOST_NAME + 1]; /* empty: operators aren't timed */
    uint64_t warmup;
    uint64_t runs;
    uint64_t threads; /* 0: the runtime's own choice */
    unsigned cores[MOST_CORES];
    size_t core_count; /* 0: wherever the system puts it */
    bool on_gpu;       /* accelerator `gpu`; else the CPU */
    bool in_float32;   /* precision `fp32`, of a GPU; else half precision */
};

/* Read the file of that name; fails where it can't be meant. */
void options_read(const char *name, struct options *options);

#ifdef __cplusplus
}
#endif

#endif
