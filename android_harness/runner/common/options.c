#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "events.h"

#define FIRST_LINE "dvfl-mobile-options 1"

enum { MOST_FILE = 64 * 1024 };

static const uint64_t MOST_MODEL_BYTES = (uint64_t)8 << 30;
static const uint64_t MOST_INPUT_BYTES = (uint64_t)1 << 30;
static const uint64_t MOST_RUNS = 10 * 1000 * 1000;
static const uint64_t MOST_CLIPS = 100 * 1000;
static const uint64_t MOST_THREADS = 1024;

static const char LETTERS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

static void take_name(const char *key, const char *value, char name[MOST_NAME + 1])
{
    size_t length = strlen(value);
    if (length == 0 || length > MOST_NAME || value[0] == '.' || strspn(value, LETTERS) != length) {
        fail(FAULT_OPTIONS, "%s isn't the name of a file here: '%.40s'", key, value);
    }
    memcpy(name, value, length + 1);
}

static uint64_t number(const char *key, const char *value, size_t length, uint64_t least, uint64_t most)
{
    uint64_t found = 0;
    bool is_number = length > 0 && length <= 18 && strspn(value, "0123456789") >= length;
    for (size_t i = 0; is_number && i < length; i++) {
        found = found * 10 + (uint64_t)(value[i] - '0');
    }
    if (!is_number || found < least || found > most) {
        fail(FAULT_OPTIONS, "%s is no number from %llu to %llu: '%.40s'", key, (unsigned long long)least,
             (unsigned long long)most, value);
    }
    return found;
}

static uint64_t take_number(const char *key, const char *value, uint64_t least, uint64_t most)
{
    return number(key, value, strlen(value), least, most);
}

static void take_sha256(const char *key, const char *value, char hex[65])
{
    if (strlen(value) != 64 || strspn(value, "0123456789abcdef") != 64) {
        fail(FAULT_OPTIONS, "%s is no SHA-256: '%.40s'", key, value);
    }
    memcpy(hex, value, 65);
}

static void take_cores(const char *value, struct options *options)
{
    for (const char *at = value;; at++) {
        size_t length = strcspn(at, ",");
        if (options->core_count == MOST_CORES) {
            fail(FAULT_OPTIONS, "cores lists more than %d", MOST_CORES);
        }
        options->cores[options->core_count++] = (unsigned)number("cores", at, length, 0, MOST_CORES - 1);
        at += length;
        if (*at == '\0') {
            return;
        }
    }
}

static void take_mode(const char *value, struct options *options)
{
    options->times = strcmp(value, "time") == 0;
    if (!options->times && strcmp(value, "run") != 0) {
        fail(FAULT_OPTIONS, "mode is neither run nor time: '%.40s'", value);
    }
}

/* Whether a value is the second of two words, and not the first. */
static bool take_choice(const char *key, const char *value, const char *first, const char *second)
{
    bool is_second = strcmp(value, second) == 0;
    if (!is_second && strcmp(value, first) != 0) {
        fail(FAULT_OPTIONS, "%s is neither %s nor %s: '%.40s'", key, first, second, value);
    }
    return is_second;
}

/* In the order of KEYS. */
enum key {
    KEY_MODE,
    KEY_MODEL,
    KEY_MODEL_BYTES,
    KEY_MODEL_SHA256,
    KEY_INPUT,
    KEY_INPUT_BYTES,
    KEY_INPUT_SHA256,
    KEY_CLIPS,
    KEY_OUTPUT,
    KEY_LOG,
    KEY_WARMUP,
    KEY_RUNS,
    KEY_THREADS,
    KEY_CORES,
    KEY_TRACE,
    KEY_ACCELERATOR,
    KEY_PRECISION,
    KEY_COUNT
};

static const char *const KEYS[KEY_COUNT] = {
    "mode",  "model",  "model_bytes", "model_sha256", "input", "input_bytes", "input_sha256", "clips",
    "output", "log", "warmup", "runs", "threads", "cores", "trace", "accelerator", "precision",
};

static const enum key FIRST_OPTIONAL = KEY_THREADS;

static void take(enum key key, const char *value, struct options *options)
{
    const char *name = KEYS[key];
    switch (key) {
    case KEY_MODE:
        take_mode(value, options);
        break;
    case KEY_MODEL:
        take_name(name, value, options->model.name);
        break;
    case KEY_MODEL_BYTES:
        options->model.bytes = take_number(name, value, 1, MOST_MODEL_BYTES);
        break;
    case KEY_MODEL_SHA256:
        take_sha256(name, value, options->model.sha256);
        break;
    case KEY_INPUT:
        take_name(name, value, options->input.name);
        break;
    case KEY_INPUT_BYTES:
        options->input.bytes = take_number(name, value, 1, MOST_INPUT_BYTES);
        break;
    case KEY_INPUT_SHA256:
        take_sha256(name, value, options->input.sha256);
        break;
    case KEY_CLIPS:
        options->clips = take_number(name, value, 1, MOST_CLIPS);
        break;
    case KEY_OUTPUT:
        take_name(name, value, options->output);
        break;
    case KEY_LOG:
        take_name(name, value, options->log);
        break;
    case KEY_WARMUP:
        options->warmup = take_number(name, value, 0, MOST_RUNS);
        break;
    case KEY_RUNS:
        options->runs = take_number(name, value, 0, MOST_RUNS);
        break;
    case KEY_THREADS:
        options->threads = take_number(name, value, 1, MOST_THREADS);
        break;
    case KEY_CORES:
        take_cores(value, options);
        break;
    case KEY_TRACE:
        take_name(name, value, options->trace);
        break;
    case KEY_ACCELERATOR:
        options->on_gpu = take_choice(name, value, "cpu", "gpu");
        break;
    case KEY_PRECISION:
        options->in_float32 = take_choice(name, value, "fp16", "fp32");
        break;
    case KEY_COUNT:
        break;
    }
}

static size_t read_text(const char *name, char text[MOST_FILE + 1])
{
    int handle = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (handle < 0) {
        fail(FAULT_OPTIONS, "the options can't be read: %s", strerror(errno));
    }
    size_t length = 0;
    ssize_t found = 1;
    while (found > 0 && length <= MOST_FILE) {
        found = read(handle, text + length, MOST_FILE + 1 - length);
        if (found < 0) {
            fail(FAULT_OPTIONS, "the options can't be read: %s", strerror(errno));
        }
        length += (size_t)found;
    }
    close(handle);
    if (length > MOST_FILE || length == 0 || text[length - 1] != '\n' || memchr(text, '\0', length) != NULL) {
        fail(FAULT_OPTIONS, "the options aren't whole lines of text, or are too many");
    }
    text[length - 1] = '\0';
    return length - 1;
}

static enum key known(const char *word)
{
    for (enum key key = KEY_MODE; key < KEY_COUNT; key++) {
        if (strcmp(KEYS[key], word) == 0) {
            return key;
        }
    }
    fail(FAULT_OPTIONS, "the key '%.40s' isn't known", word);
}

static void check(const struct options *options, const bool seen[KEY_COUNT])
{
    for (enum key key = KEY_MODE; key < FIRST_OPTIONAL; key++) {
        if (!seen[key]) {
            fail(FAULT_OPTIONS, "the key '%s' is missing", KEYS[key]);
        }
    }
    if (options->times ? options->clips != 1 || options->runs == 0 : options->warmup + options->runs > 0) {
        fail(FAULT_OPTIONS, "time goes with one clip and some runs, and run with neither warm-up nor runs");
    }
    if (!options->on_gpu && seen[KEY_PRECISION]) {
        fail(FAULT_OPTIONS, "precision goes with accelerator gpu");
    }
    if (options->on_gpu && (options->threads > 0 || options->core_count > 0 || options->trace[0] != '\0')) {
        fail(FAULT_OPTIONS, "threads, cores and trace go with a CPU");
    }
    if (options->input.bytes % options->clips != 0) {
        fail(FAULT_OPTIONS, "the input isn't %llu clips of one size", (unsigned long long)options->clips);
    }
    const char *names[] = {options->model.name, options->input.name, options->output, options->log, options->trace};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(names[i], names[j]) == 0) {
                fail(FAULT_OPTIONS, "two files have the name '%s'", names[i]);
            }
        }
    }
}

void options_read(const char *name, struct options *options)
{
    static char text[MOST_FILE + 1];
    bool seen[KEY_COUNT] = {false};
    memset(options, 0, sizeof *options);
    read_text(name, text);
    char *rest = NULL;
    char *line = strtok_r(text, "\n", &rest);
    if (line == NULL || strcmp(line, FIRST_LINE) != 0) {
        fail(FAULT_OPTIONS, "the first line isn't '" FIRST_LINE "'");
    }
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
        char *space = strchr(line, ' ');
        if (space == NULL) {
            fail(FAULT_OPTIONS, "a line isn't a key and a value: '%.40s'", line);
        }
        *space = '\0';
        enum key key = known(line);
        if (seen[key]) {
            fail(FAULT_OPTIONS, "the key '%s' is there twice", line);
        }
        seen[key] = true;
        take(key, space + 1, options);
    }
    check(options, seen);
}
