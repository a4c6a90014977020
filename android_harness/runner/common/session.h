/* What both programs do: check, load, run, say. A runtime is the part in which they differ. */
#ifndef DVFL_SESSION_H
#define DVFL_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MOST_RANK = 8, OPERATOR_RUNS = 5 };

struct tensor {
    const char *dtype; /* `float32`, `int8`, or what else the runtime calls it */
    int64_t shape[MOST_RANK];
    size_t rank;
};

struct model {
    struct tensor input;
    struct tensor output;
    uint64_t threads; /* 0: the runtime doesn't tell */
    const char *delegate;
};

/* Every function fails by itself, with fail(): what returns has done what it was asked. */
struct runtime {
    const char *name;
    const char *version;

    /* Load the model file, to a state in which it could run, and fill in what is known of it. */
    void (*load)(const struct options *options, struct model *model);

    /* Take the next clip, of as many bytes as the model's input has; they stay where they are until the next one. */
    void (*take)(const void *clip, size_t size);

    /* Run the model on the clip that was taken. */
    void (*run)(void);

    /* Copy the logits of the last run. */
    void (*give)(float *logits, size_t count);

    /* Run the taken clip OPERATOR_RUNS times more, and say the time of each operator: `operator` lines or a `trace`. */
    void (*say_operators)(const struct options *options);
};

/* The whole conversation; returns the exit status. */
int session(int argc, char **argv, const struct runtime *runtime);

#ifdef __cplusplus
}
#endif

#endif
