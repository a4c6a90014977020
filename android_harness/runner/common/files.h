/* Files of the working directory: read only once they match the options, written whole. */
#ifndef DVFL_FILES_H
#define DVFL_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fails unless it is a plain file of that size and hash. */
void file_check(const struct file_option *file);

/* The checked bytes of a file, at an address that vector instructions like; free() them. */
void *file_read(const struct file_option *file);

/* Write a file anew, and say of it what a listener needs to check it: the fields file, bytes and sha256. */
void file_write(const char *name, const void *bytes, size_t size);
void event_file(const char *name, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
