/* What a program says: one JSON object a line, on the stdout that it was started with. */
#ifndef DVFL_EVENTS_H
#define DVFL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define DVFL_NORETURN [[noreturn]]
extern "C" {
#else
#define DVFL_NORETURN _Noreturn
#endif

enum { PROTOCOL_VERSION = 1 };

/* What a program gives up over, and its exit status; 0 stands for an `end` line alone. */
enum fault {
    FAULT_OPTIONS = 10, /* the options file can't be meant */
    FAULT_CHANGED = 11, /* a file isn't the one that the options tell of */
    FAULT_MODEL = 12,   /* the runtime can't load the model, or it takes or gives something else */
    FAULT_RUN = 13,     /* the runtime can't run the model */
    FAULT_DISK = 14,    /* a file can't be read or written */
    FAULT_MEMORY = 15,  /* there isn't enough */
    FAULT_CORES = 16,   /* the system doesn't let it run on those cores */
    FAULT_THREADS = 17, /* the runtime doesn't take that number of threads */
    FAULT_LISTENER = 18 /* nobody reads what is said */
};

/* Take stdout for the events alone: whatever else is printed from here on goes to `log`, and so does stderr. */
void events_open(const char *log);

/* Begin a line, add its fields, end it. Strings may hold any bytes; those that aren't plain ASCII are escaped. */
void event_begin(const char *name);
void event_string(const char *key, const char *value);
void event_integer(const char *key, uint64_t value);
void event_null(const char *key);
void event_boolean(const char *key, bool value);
void event_raw(const char *key, const char *json);

/* Lines of runs are kept for a moment, since whoever wakes to read one takes a core from the next run. */
void event_end(bool at_once);

/* A tensor's facts as a field; `dtype` is `float32` or `int8`. */
void event_tensor(const char *key, const char *dtype, const int64_t *shape, size_t rank);

/* The number of lines said so far, and the SHA-256 of them. */
uint64_t events_said(char hex[65]);

/* Say an `error` line and exit. */
DVFL_NORETURN void fail(enum fault fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif

#endif
