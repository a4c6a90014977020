#include "sha256.h"

#include <string.h>

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t word, unsigned bits)
{
    return word >> bits | word << (32 - bits);
}

static void schedule(const uint8_t block[64], uint32_t words[64])
{
    for (size_t i = 0; i < 16; i++) {
        const uint8_t *at = block + 4 * i;
        words[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (size_t i = 16; i < 64; i++) {
        uint32_t near = words[i - 15], far = words[i - 2];
        uint32_t low = rotated(near, 7) ^ rotated(near, 18) ^ near >> 3;
        uint32_t high = rotated(far, 17) ^ rotated(far, 19) ^ far >> 10;
        words[i] = words[i - 16] + low + words[i - 7] + high;
    }
}

static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t words[64], now[8];
    schedule(block, words);
    memcpy(now, state, sizeof now);
    for (size_t i = 0; i < 64; i++) {
        uint32_t a = now[0], e = now[4];
        uint32_t choice = (e & now[5]) ^ (~e & now[6]);
        uint32_t majority = (a & now[1]) ^ (a & now[2]) ^ (now[1] & now[2]);
        uint32_t first = now[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + choice + ROUND[i] + words[i];
        uint32_t second = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + majority;
        memmove(now + 1, now, 7 * sizeof now[0]);
        now[4] += first;
        now[0] = first + second;
    }
    for (size_t i = 0; i < 8; i++) {
        state[i] += now[i];
    }
}

void sha256_begin(struct sha256 *hash)
{
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, start, sizeof start);
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    size_t held = (size_t)(hash->length % 64);
    hash->length += size;
    while (held + size >= 64) {
        size_t taken = 64 - held;
        memcpy(hash->block + held, from, taken);
        compress(hash->state, hash->block);
        from += taken;
        size -= taken;
        held = 0;
    }
    if (size > 0) {
        memcpy(hash->block + held, from, size);
    }
}

void sha256_hex(const struct sha256 *hash, char hex[SHA256_HEX_SIZE])
{
    static const uint8_t padding[64] = {0x80};
    static const char digits[] = "0123456789abcdef";
    struct sha256 last = *hash;
    uint8_t bits[8];
    for (size_t i = 0; i < 8; i++) {
        bits[i] = (uint8_t)(hash->length * 8 >> (56 - 8 * i));
    }
    size_t held = (size_t)(hash->length % 64);
    sha256_add(&last, padding, held < 56 ? 56 - held : 120 - held);
    sha256_add(&last, bits, sizeof bits);
    for (size_t i = 0; i < 64; i++) {
        hex[i] = digits[last.state[i / 8] >> (28 - 4 * (i % 8)) & 0xf];
    }
    hex[64] = '\0';
}
