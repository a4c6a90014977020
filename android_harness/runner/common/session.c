#include "session.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "files.h"
#include "machine.h"

static void say_device(const struct runtime *runtime)
{
    static char features[16 * 1024];
    cpu_features_json(features, sizeof features);
    event_begin("device");
    event_integer("protocol", PROTOCOL_VERSION);
    event_string("runner", DVFL_RUNNER_VERSION);
    event_string("runtime", runtime->name);
    event_string("version", runtime->version);
    event_string("abi", machine_abi());
    event_raw("features", features);
    event_integer("cores", online_cores());
    event_end(true);
}

static void say_load(const struct model *model, int64_t load_ns)
{
    event_begin("load");
    event_integer("load_ns", (uint64_t)load_ns);
    if (model->threads > 0) {
        event_integer("threads", model->threads);
    } else {
        event_null("threads");
    }
    event_string("delegate", model->delegate);
    event_tensor("input", model->input.dtype, model->input.shape, model->input.rank);
    event_tensor("output", model->output.dtype, model->output.shape, model->output.rank);
    event_end(true);
}

/* The number of values of a tensor; fails for shapes that no artifact of ours has. */
static size_t values_of(const struct tensor *tensor, const char *what)
{
    uint64_t count = 1;
    for (size_t i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] < 1 || tensor->shape[i] > (int64_t)1 << 30) {
            fail(FAULT_MODEL, "the model's %s has a side of %lld", what, (long long)tensor->shape[i]);
        }
        count *= (uint64_t)tensor->shape[i];
        if (count > (uint64_t)1 << 30) {
            fail(FAULT_MODEL, "the model's %s is larger than any", what);
        }
    }
    return (size_t)count;
}

static size_t input_bytes(const struct tensor *tensor)
{
    size_t each = strcmp(tensor->dtype, "float32") == 0 ? 4 : strcmp(tensor->dtype, "int8") == 0 ? 1 : 0;
    if (each == 0) {
        fail(FAULT_MODEL, "the model takes %s; only float32 and int8 are known here", tensor->dtype);
    }
    return values_of(tensor, "input") * each;
}

static size_t logits_of(const struct tensor *tensor)
{
    if (strcmp(tensor->dtype, "float32") != 0) {
        fail(FAULT_MODEL, "the model gives %s, and not float32", tensor->dtype);
    }
    return values_of(tensor, "output");
}

static void run_once(const struct runtime *runtime, const char *phase, uint64_t index)
{
    int64_t start = monotonic_ns();
    runtime->run();
    int64_t end = monotonic_ns();
    event_begin("run");
    event_string("phase", phase);
    event_integer("index", index);
    event_integer("start_ns", (uint64_t)start);
    event_integer("duration_ns", (uint64_t)(end - start));
    event_end(false);
}

static void run_again_and_again(const struct runtime *runtime, const struct options *options)
{
    for (uint64_t i = 0; i < options->warmup; i++) {
        run_once(runtime, "warmup", i);
    }
    for (uint64_t i = 0; i < options->runs; i++) {
        run_once(runtime, "timed", i);
    }
}

static void say_output(const struct options *options, const float *logits, uint64_t rows, size_t classes)
{
    char json[64];
    size_t size = (size_t)rows * classes * sizeof *logits;
    file_write(options->output, logits, size);
    event_begin("output");
    event_file(options->output, logits, size);
    snprintf(json, sizeof json, "[%llu,%zu]", (unsigned long long)rows, classes);
    event_raw("shape", json);
    event_string("dtype", "float32");
    event_end(true);
}

static void say_memory(uint64_t peak)
{
    event_begin("memory");
    if (peak > 0) {
        event_integer("peak_bytes", peak);
    } else {
        event_null("peak_bytes");
    }
    event_end(true);
}

static void say_end(const struct options *options)
{
    char hex[65];
    uint64_t lines = events_said(hex);
    event_begin("end");
    event_integer("warmup", options->warmup);
    event_integer("runs", options->times ? options->runs : options->clips);
    event_integer("clips", options->clips);
    event_integer("lines", lines);
    event_string("lines_sha256", hex);
    event_end(true);
}

static struct model load(const struct runtime *runtime, const struct options *options)
{
    struct model model;
    memset(&model, 0, sizeof model);
    file_check(&options->model);
    int64_t start = monotonic_ns();
    runtime->load(options, &model);
    say_load(&model, monotonic_ns() - start);
    return model;
}

static void run_all(const struct runtime *runtime, const struct options *options, const struct model *model)
{
    size_t size = input_bytes(&model->input), classes = logits_of(&model->output);
    if (options->input.bytes != size * options->clips) {
        fail(FAULT_CHANGED, "the input has %llu bytes for %llu clips, and the model takes %zu for each",
             (unsigned long long)options->input.bytes, (unsigned long long)options->clips, size);
    }
    uint8_t *clips = file_read(&options->input);
    uint64_t rows = options->times ? 1 : options->clips;
    float *logits = calloc((size_t)rows * classes, sizeof *logits);
    if (logits == NULL) {
        fail(FAULT_MEMORY, "there isn't memory for the logits");
    }
    if (options->times) {
        runtime->take(clips, size);
        run_again_and_again(runtime, options);
        runtime->give(logits, classes);
    } else {
        for (uint64_t i = 0; i < options->clips; i++) {
            runtime->take(clips + i * size, size);
            run_once(runtime, "clip", i);
            runtime->give(logits + i * classes, classes);
        }
    }
    /* Before operators are looked at, which takes memory of its own. */
    uint64_t peak = peak_memory_bytes();
    if (options->trace[0] != '\0') {
        runtime->say_operators(options);
    }
    say_output(options, logits, rows, classes);
    say_memory(peak);
    free(logits);
    free(clips);
}

int session(int argc, char **argv, const struct runtime *runtime)
{
    static struct options options;
    if (argc != 2) {
        fail(FAULT_OPTIONS, "one argument is wanted, the name of the options file");
    }
    options_read(argv[1], &options);
    events_open(options.log);
    if (options.core_count > 0) {
        run_on_cores(options.cores, options.core_count);
    }
    say_device(runtime);
    struct model model = load(runtime, &options);
    run_all(runtime, &options, &model);
    say_end(&options);
    return 0;
}
