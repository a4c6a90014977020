#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "sha256.h"

enum { MOST_LINE = 60 * 1024, KEPT_NS = 200 * 1000 * 1000 };

static struct {
    int handle;
    char line[MOST_LINE];
    size_t length;
    char kept[2 * MOST_LINE];
    size_t kept_length;
    int64_t flushed_ns;
    uint64_t lines;
    struct sha256 hash;
} said = {.handle = STDOUT_FILENO};

void events_open(const char *log)
{
    sha256_begin(&said.hash);
    int kept = dup(STDOUT_FILENO);
    int file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (kept < 0 || file < 0) {
        fail(FAULT_DISK, "%s can't be written: %s", log, strerror(errno));
    }
    said.handle = kept;
    if (dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0) {
        fail(FAULT_DISK, "%s can't take what is printed: %s", log, strerror(errno));
    }
    close(file);
}

static void flush(void)
{
    const char *from = said.kept;
    size_t left = said.kept_length;
    while (left > 0) {
        ssize_t written = write(said.handle, from, left);
        if (written < 0 && errno != EINTR) {
            _exit(FAULT_LISTENER);
        }
        if (written > 0) {
            from += written;
            left -= (size_t)written;
        }
    }
    said.kept_length = 0;
    said.flushed_ns = monotonic_ns();
}

static void add(const char *text, size_t length)
{
    /* Room for the closing brace and the line feed stays. */
    if (length > sizeof said.line - 2 - said.length) {
        fputs("a line is longer than any may be\n", stderr);
        _exit(FAULT_RUN);
    }
    memcpy(said.line + said.length, text, length);
    said.length += length;
}

static void add_text(const char *text)
{
    add(text, strlen(text));
}

static void add_quoted(const char *text)
{
    add_text("\"");
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at < 0x20 || *at >= 0x7f || *at == '"' || *at == '\\') {
            char escape[8];
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)*at);
            add_text(escape);
        } else {
            add((const char *)at, 1);
        }
    }
    add_text("\"");
}

static void add_key(const char *key)
{
    add_text(said.length > 1 ? "," : "");
    add_quoted(key);
    add_text(":");
}

void event_begin(const char *name)
{
    said.length = 0;
    add_text("{");
    event_string("event", name);
}

void event_string(const char *key, const char *value)
{
    add_key(key);
    add_quoted(value);
}

void event_integer(const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    event_raw(key, digits);
}

void event_null(const char *key)
{
    event_raw(key, "null");
}

void event_boolean(const char *key, bool value)
{
    event_raw(key, value ? "true" : "false");
}

void event_raw(const char *key, const char *json)
{
    add_key(key);
    add_text(json);
}

void event_tensor(const char *key, const char *dtype, const int64_t *shape, size_t rank)
{
    add_key(key);
    add_text("{\"dtype\":");
    add_quoted(dtype);
    add_text(",\"shape\":[");
    for (size_t i = 0; i < rank; i++) {
        char digits[24];
        snprintf(digits, sizeof digits, "%s%" PRId64, i > 0 ? "," : "", shape[i]);
        add_text(digits);
    }
    add_text("]}");
}

void event_end(bool at_once)
{
    memcpy(said.line + said.length, "}\n", 2);
    said.length += 2;
    sha256_add(&said.hash, said.line, said.length);
    said.lines++;
    if (said.kept_length + said.length > sizeof said.kept) {
        flush();
    }
    memcpy(said.kept + said.kept_length, said.line, said.length);
    said.kept_length += said.length;
    if (at_once || monotonic_ns() - said.flushed_ns > KEPT_NS) {
        flush();
    }
}

uint64_t events_said(char hex[65])
{
    sha256_hex(&said.hash, hex);
    return said.lines;
}

static const char *word_of(enum fault fault)
{
    switch (fault) {
    case FAULT_OPTIONS:
        return "options";
    case FAULT_CHANGED:
        return "changed";
    case FAULT_MODEL:
        return "model";
    case FAULT_RUN:
        return "run";
    case FAULT_DISK:
        return "disk";
    case FAULT_MEMORY:
        return "memory";
    case FAULT_CORES:
        return "cores";
    case FAULT_THREADS:
        return "threads";
    case FAULT_LISTENER:
        return "listener";
    }
    return "unknown";
}

void fail(enum fault fault, const char *format, ...)
{
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    event_begin("error");
    event_string("code", word_of(fault));
    event_string("message", message);
    event_end(true);
    /* Not exit: destructors of a runtime that went wrong are none to rely on. */
    _exit((int)fault);
}
