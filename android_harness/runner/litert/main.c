/* Runs one .tflite with LiteRT's C API, by XNNPACK or on the GPU, and says how it went: see docs/native-runner.md. */

#include <dlfcn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "litert.h"
#include "session.h"

/* What LiteRT's own options call themselves; what they say is TOML. */
#define CPU_OPTIONS "xnnpack"
#define GPU_OPTIONS "gpu_options"
#define RUNTIME_OPTIONS "runtime_options_string"

enum { MOST_OPERATORS = 20000 };

/* LiteRT waits two minutes for what a GPU gives, and the first run, which compiles shaders, may take longer. */
enum { MOST_TRIES = 15 };

/* Those that LiteRT looks for by these names; on a phone the first is its OpenCL one. */
static const char *const ACCELERATORS[] = {"./libLiteRtGpuAccelerator.so", "./libLiteRtWebGpuAccelerator.so"};

static struct {
    LiteRtEnvironment environment;
    LiteRtModel model;
    LiteRtCompiledModel compiled;
    LiteRtTensorBuffer input;
    LiteRtTensorBuffer output;
    LiteRtRankedTensorType output_type;
    bool on_gpu;
} held;

static void check(LiteRtStatus status, enum fault fault, const char *what)
{
    if (status != kLiteRtStatusOk) {
        fail(fault, "LiteRT can't %s: status %d", what, status);
    }
}

static LiteRtRankedTensorType type_of(LiteRtTensor tensor, const char *what)
{
    LiteRtTensorTypeId id = -1;
    LiteRtRankedTensorType type;
    check(LiteRtGetTensorTypeId(tensor, &id), FAULT_MODEL, "tell the type of a tensor");
    if (id != kLiteRtRankedTensorType) {
        fail(FAULT_MODEL, "the model's %s has no shape", what);
    }
    check(LiteRtGetRankedTensorType(tensor, &type), FAULT_MODEL, "tell the shape of a tensor");
    if (type.layout.rank > LITERT_TENSOR_MAX_RANK) {
        fail(FAULT_MODEL, "the model's %s has %u dimensions", what, (unsigned)type.layout.rank);
    }
    return type;
}

static struct tensor facts_of(const LiteRtRankedTensorType *type)
{
    struct tensor facts = {.dtype = "another type", .rank = type->layout.rank};
    if (type->element_type == kLiteRtElementTypeFloat32) {
        facts.dtype = "float32";
    } else if (type->element_type == kLiteRtElementTypeInt8) {
        facts.dtype = "int8";
    }
    for (size_t i = 0; i < facts.rank; i++) {
        facts.shape[i] = type->layout.dimensions[i];
    }
    return facts;
}

static LiteRtSignature only_signature(void)
{
    LiteRtParamIndex signatures = 0, inputs = 0, outputs = 0;
    LiteRtSignature signature = NULL;
    check(LiteRtGetNumModelSignatures(held.model, &signatures), FAULT_MODEL, "tell the model's signatures");
    if (signatures < 1) {
        fail(FAULT_MODEL, "the model has no signature");
    }
    check(LiteRtGetModelSignature(held.model, 0, &signature), FAULT_MODEL, "tell the model's signature");
    check(LiteRtGetNumSignatureInputs(signature, &inputs), FAULT_MODEL, "tell the model's inputs");
    check(LiteRtGetNumSignatureOutputs(signature, &outputs), FAULT_MODEL, "tell the model's outputs");
    if (inputs != 1 || outputs != 1) {
        fail(FAULT_MODEL, "the model doesn't take one tensor and give one");
    }
    return signature;
}

static void add_options(LiteRtOptions options, const char *identifier, const char *text)
{
    LiteRtOpaqueOptions opaque = NULL;
    char *toml = strdup(text);
    if (toml == NULL) {
        fail(FAULT_MEMORY, "there isn't memory for the options");
    }
    check(LiteRtCreateOpaqueOptions(identifier, toml, free, &opaque), FAULT_MODEL, "take options");
    check(LiteRtAddOpaqueOptions(options, opaque), FAULT_MODEL, "take options");
}

/* LiteRT asks the loader for its accelerators by their bare names, and finds what is loaded already. */
static void load_accelerator(void)
{
    for (size_t i = 0; i < sizeof ACCELERATORS / sizeof *ACCELERATORS; i++) {
        if (dlopen(ACCELERATORS[i], RTLD_NOW | RTLD_GLOBAL) != NULL) {
            return;
        }
    }
    fail(FAULT_MODEL, "there is no GPU accelerator of LiteRT's beside the program that can be loaded: %s", dlerror());
}

static void compile(const struct options *asked, bool profiles)
{
    LiteRtOptions options = NULL;
    int accelerator = asked->on_gpu ? kLiteRtHwAcceleratorGpu : kLiteRtHwAcceleratorCpu;
    check(LiteRtCreateOptions(&options), FAULT_MODEL, "make options");
    check(LiteRtSetOptionsHardwareAccelerators(options, accelerator), FAULT_MODEL, "choose what computes");
    if (asked->threads > 0) {
        char text[64];
        snprintf(text, sizeof text, "num_threads = %" PRIu64 "\n", asked->threads);
        add_options(options, CPU_OPTIONS, text);
    }
    if (asked->on_gpu) {
        add_options(options, GPU_OPTIONS, asked->in_float32 ? "precision = 2\n" : "precision = 1\n");
    }
    if (profiles) {
        add_options(options, RUNTIME_OPTIONS, "enable_profiling = true\n");
    }
    check(LiteRtCreateCompiledModel(held.environment, held.model, options, &held.compiled), FAULT_MODEL,
          "prepare the model");
    LiteRtDestroyOptions(options);
}

static void make_output(void)
{
    LiteRtTensorBufferRequirements requirements = NULL;
    check(LiteRtGetCompiledModelOutputBufferRequirements(held.compiled, 0, 0, &requirements), FAULT_MODEL,
          "tell what its output needs");
    check(
        LiteRtCreateManagedTensorBufferFromRequirements(held.environment, &held.output_type, requirements, &held.output),
        FAULT_MEMORY, "make a buffer for the output");
}

static void make_buffers(const LiteRtRankedTensorType *input)
{
    LiteRtTensorBufferRequirements requirements = NULL;
    check(LiteRtGetCompiledModelInputBufferRequirements(held.compiled, 0, 0, &requirements), FAULT_MODEL,
          "tell what its input needs");
    check(LiteRtCreateManagedTensorBufferFromRequirements(held.environment, input, requirements, &held.input),
          FAULT_MEMORY, "make a buffer for the input");
    make_output();
}

static const char *delegate_of(const struct options *options)
{
    bool is_fully = false;
    if (!options->on_gpu) {
        return "XNNPACK";
    }
    check(LiteRtCompiledModelIsFullyAccelerated(held.compiled, &is_fully), FAULT_MODEL, "tell what the GPU took");
    return is_fully ? "GPU" : "GPU in part";
}

static void load(const struct options *options, struct model *model)
{
    LiteRtTensor input = NULL, output = NULL;
    held.on_gpu = options->on_gpu;
    if (held.on_gpu) {
        load_accelerator();
    }
    check(LiteRtCreateEnvironment(0, NULL, &held.environment), FAULT_MODEL, "begin");
    check(LiteRtCreateModelFromFile(held.environment, options->model.name, &held.model), FAULT_MODEL, "load the model");
    LiteRtSignature signature = only_signature();
    check(LiteRtGetSignatureInputTensorByIndex(signature, 0, &input), FAULT_MODEL, "tell the model's input");
    check(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &output), FAULT_MODEL, "tell the model's output");
    LiteRtRankedTensorType input_type = type_of(input, "input");
    held.output_type = type_of(output, "output");
    model->input = facts_of(&input_type);
    model->output = facts_of(&held.output_type);
    model->threads = options->threads;
    compile(options, false);
    model->delegate = delegate_of(options);
    make_buffers(&input_type);
}

static void copy(LiteRtTensorBuffer buffer, void *into, const void *from, size_t size)
{
    void *address = NULL;
    size_t room = 0;
    check(LiteRtGetTensorBufferPackedSize(buffer, &room), FAULT_RUN, "tell the size of a buffer");
    if (room != size) {
        fail(FAULT_RUN, "LiteRT's buffer has %zu bytes in place of %zu", room, size);
    }
    int mode = into == NULL ? kLiteRtTensorBufferLockModeWrite : kLiteRtTensorBufferLockModeRead;
    check(LiteRtLockTensorBuffer(buffer, &address, mode), FAULT_RUN, "lock a buffer");
    memcpy(into == NULL ? address : into, into == NULL ? from : address, size);
    check(LiteRtUnlockTensorBuffer(buffer), FAULT_RUN, "unlock a buffer");
}

static void take(const void *clip, size_t size)
{
    copy(held.input, NULL, clip, size);
}

/* Wait for what was handed to a GPU; false where LiteRT gave up waiting, after which the buffer is of no more use. */
static bool has_ended(void)
{
    void *address = NULL;
    if (LiteRtLockTensorBuffer(held.output, &address, kLiteRtTensorBufferLockModeRead) != kLiteRtStatusOk) {
        return false;
    }
    check(LiteRtUnlockTensorBuffer(held.output), FAULT_RUN, "unlock a buffer");
    return true;
}

static void run(void)
{
    for (int tries = 0; tries < MOST_TRIES; tries++) {
        check(LiteRtRunCompiledModel(held.compiled, 0, 1, &held.input, 1, &held.output), FAULT_RUN, "run the model");
        if (!held.on_gpu || has_ended()) {
            return;
        }
        make_output();
    }
    fail(FAULT_RUN, "the GPU doesn't come to an end");
}

static void give(float *logits, size_t count)
{
    copy(held.output, logits, NULL, count * sizeof *logits);
}

static bool is_delegated(const ProfiledEventData *event)
{
    return event->event_type == DELEGATE_OPERATOR_INVOKE_EVENT ||
           event->event_type == DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT;
}

/* The operators among the events of one run, in order. The call of a delegate spans those that it runs, and is none. */
static size_t operators_of(LiteRtProfiler profiler, ProfiledEventData *events, size_t room)
{
    int count = 0;
    check(LiteRtGetNumProfilerEvents(profiler, &count), FAULT_RUN, "count its operators");
    if (count < 0 || (size_t)count > room) {
        fail(FAULT_RUN, "LiteRT tells of %d events, more than any model has", count);
    }
    check(LiteRtGetProfilerEvents(profiler, count, events), FAULT_RUN, "tell its operators");
    size_t kept = 0;
    for (size_t i = 0; i < (size_t)count; i++) {
        bool is_own = events[i].event_type == OPERATOR_INVOKE_EVENT && strstr(events[i].tag, "Delegate") == NULL;
        if (is_own || is_delegated(&events[i])) {
            events[kept++] = events[i];
        }
    }
    return kept;
}

static int by_size(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static void say_operator(size_t index, const ProfiledEventData *event, uint64_t times_us[OPERATOR_RUNS])
{
    qsort(times_us, OPERATOR_RUNS, sizeof *times_us, by_size);
    event_begin("operator");
    event_integer("index", index);
    event_string("name", event->tag);
    event_boolean("delegated", is_delegated(event));
    if (is_delegated(event)) {
        event_null("node"); /* what it tells is a number of the delegate's own */
    } else {
        event_integer("node", event->event_metadata1);
    }
    event_integer("duration_ns", times_us[OPERATOR_RUNS / 2] * 1000);
    event_end(false);
}

/* With a profiler XNNPACK times its operators, which slows it: so the model is prepared once more, for this alone. */
static void say_operators(const struct options *options)
{
    static ProfiledEventData events[MOST_OPERATORS], first[MOST_OPERATORS];
    static uint64_t times_us[MOST_OPERATORS][OPERATOR_RUNS];
    LiteRtProfiler profiler = NULL;
    size_t count = 0;
    LiteRtDestroyCompiledModel(held.compiled);
    compile(options, true);
    check(LiteRtCompiledModelGetProfiler(held.compiled, &profiler), FAULT_RUN, "give its profiler");
    run();
    for (size_t i = 0; i < OPERATOR_RUNS; i++) {
        check(LiteRtStartProfiler(profiler), FAULT_RUN, "start its profiler");
        run();
        check(LiteRtStopProfiler(profiler), FAULT_RUN, "stop its profiler");
        ProfiledEventData *into = i == 0 ? first : events;
        size_t found = operators_of(profiler, into, MOST_OPERATORS);
        if (i > 0 && found != count) {
            fail(FAULT_RUN, "LiteRT ran %zu operators, and then %zu", count, found);
        }
        count = found;
        for (size_t k = 0; k < count; k++) {
            times_us[k][i] = into[k].elapsed_time_us;
        }
    }
    for (size_t k = 0; k < count; k++) {
        say_operator(k, &first[k], times_us[k]);
    }
}

int main(int argc, char **argv)
{
    const struct runtime litert = {"LiteRT", DVFL_RUNTIME_VERSION, load, take, run, give, say_operators};
    return session(argc, argv, &litert);
}
