/* SHA-256 (FIPS 180-4), a piece at a time. */
#ifndef DVFL_SHA256_H
#define DVFL_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_HEX_SIZE = 65 };

struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t size);

/* The hash in hex with a NUL after it; `hash` can be added to afterwards, as if this had not been asked. */
void sha256_hex(const struct sha256 *hash, char hex[SHA256_HEX_SIZE]);

#endif
