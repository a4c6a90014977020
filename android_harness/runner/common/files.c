#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "events.h"
#include "sha256.h"

enum { PIECE = 1 << 20, ALIGNMENT = 64 };

/* Opens a plain file that has the size that the options give. */
static int opened(const struct file_option *file)
{
    struct stat about;
    int handle = open(file->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (handle < 0 || fstat(handle, &about) != 0) {
        fail(FAULT_DISK, "%s can't be read: %s", file->name, strerror(errno));
    }
    if (!S_ISREG(about.st_mode) || (uint64_t)about.st_size != file->bytes) {
        fail(FAULT_CHANGED, "%s has %lld bytes in place of %llu", file->name, (long long)about.st_size,
             (unsigned long long)file->bytes);
    }
    return handle;
}

static void read_fully(int handle, const struct file_option *file, uint8_t *into, size_t size)
{
    while (size > 0) {
        ssize_t found = read(handle, into, size);
        if (found < 0 && errno == EINTR) {
            continue;
        }
        if (found <= 0) {
            fail(found < 0 ? FAULT_DISK : FAULT_CHANGED, "%s can't be read to its end: %s", file->name,
                 found < 0 ? strerror(errno) : "it became shorter");
        }
        into += found;
        size -= (size_t)found;
    }
}

static void check_hash(const struct file_option *file, const struct sha256 *hash)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(hash, hex);
    if (strcmp(hex, file->sha256) != 0) {
        fail(FAULT_CHANGED, "%s isn't the file that the options name: its SHA-256 is %s", file->name, hex);
    }
}

void file_check(const struct file_option *file)
{
    static uint8_t piece[PIECE];
    struct sha256 hash;
    sha256_begin(&hash);
    int handle = opened(file);
    for (uint64_t left = file->bytes; left > 0;) {
        size_t size = left < PIECE ? (size_t)left : PIECE;
        read_fully(handle, file, piece, size);
        sha256_add(&hash, piece, size);
        left -= size;
    }
    close(handle);
    check_hash(file, &hash);
}

void *file_read(const struct file_option *file)
{
    struct sha256 hash;
    size_t size = (size_t)file->bytes;
    int handle = opened(file);
    void *bytes = NULL;
    if (posix_memalign(&bytes, ALIGNMENT, (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT) != 0) {
        fail(FAULT_MEMORY, "there isn't memory for the %zu bytes of %s", size, file->name);
    }
    read_fully(handle, file, bytes, size);
    close(handle);
    sha256_begin(&hash);
    sha256_add(&hash, bytes, size);
    check_hash(file, &hash);
    return bytes;
}

void file_write(const char *name, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t left = size;
    int handle = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (handle < 0) {
        fail(FAULT_DISK, "%s can't be written: %s", name, strerror(errno));
    }
    while (left > 0) {
        ssize_t written = write(handle, from, left);
        if (written < 0 && errno != EINTR) {
            fail(FAULT_DISK, "%s can't be written: %s", name, strerror(errno));
        }
        if (written > 0) {
            from += written;
            left -= (size_t)written;
        }
    }
    if (close(handle) != 0) {
        fail(FAULT_DISK, "%s can't be written: %s", name, strerror(errno));
    }
}

void event_file(const char *name, const void *bytes, size_t size)
{
    char hex[SHA256_HEX_SIZE];
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, bytes, size);
    sha256_hex(&hash, hex);
    event_string("file", name);
    event_integer("bytes", size);
    event_string("sha256", hex);
}
