/* Computes int8 products by the instructions that this CPU has for them, and again by plain C: an emulator that gets
 * them wrong is caught before it says anything of an artifact. qemu 7.2 does, with `-cpu max` (SMOPA).
 *
 * Prints `right NAME` or `wrong NAME` for each instruction; the exit status is 1 if any was wrong. */

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>

enum { ROUNDS = 50, MOST_VECTOR = 256, MOST_SIDE = MOST_VECTOR / 4 };

/* Bits of AT_HWCAP and AT_HWCAP2 (arch/arm64/include/uapi/asm/hwcap.h). */
enum { HWCAP_ASIMDDP_BIT = 20, HWCAP2_I8MM_BIT = 13, HWCAP2_SME_BIT = 23 };

static int8_t a[MOST_VECTOR], b[MOST_VECTOR];

static void draw(size_t size)
{
    static uint32_t seed = 1;
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        a[i] = (int8_t)(seed >> 24);
        b[i] = (int8_t)(seed >> 16);
    }
}

/* The sum of `count` products of a, from `i`, and b, from `j`. */
static int32_t product(size_t i, size_t j, size_t count)
{
    int32_t sum = 0;
    for (size_t k = 0; k < count; k++) {
        sum += a[i + k] * b[j + k];
    }
    return sum;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) static bool dot_is_right(void)
{
    int32_t found[4];
    vst1q_s32(found, vdotq_s32(vdupq_n_s32(0), vld1q_s8(a), vld1q_s8(b)));
    for (size_t i = 0; i < 4; i++) {
        if (found[i] != product(4 * i, 4 * i, 4)) {
            return false;
        }
    }
    return true;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) static bool dot_by_lane_is_right(void)
{
    int32_t found[4];
    vst1q_s32(found, vdotq_laneq_s32(vdupq_n_s32(0), vld1q_s8(a), vld1q_s8(b), 2));
    for (size_t i = 0; i < 4; i++) {
        if (found[i] != product(4 * i, 8, 4)) {
            return false;
        }
    }
    return true;
}

__attribute__((target("arch=armv8.2-a+i8mm"))) static bool matrix_is_right(void)
{
    int32_t found[4];
    vst1q_s32(found, vmmlaq_s32(vdupq_n_s32(0), vld1q_s8(a), vld1q_s8(b)));
    for (size_t i = 0; i < 4; i++) {
        if (found[i] != product(8 * (i / 2), 8 * (i % 2), 8)) {
            return false;
        }
    }
    return true;
}

/* Bytes of a vector in streaming mode. */
static uint64_t streaming_bytes(void)
{
    uint64_t bytes;
    __asm__(".arch_extension sme\n\trdsvl %0, #1" : "=r"(bytes));
    return bytes;
}

static bool outer_is_right(void)
{
    static int32_t found[MOST_SIDE * MOST_SIDE];
    uint64_t side = streaming_bytes() / 4;
    /* Leaving streaming mode clears every vector register, and the low halves of those are what C's doubles live in. */
    __asm__ volatile(".arch_extension sme\n\t"
                     "smstart\n\t"
                     "zero {za}\n\t"
                     "ptrue p0.b\n\t"
                     "ld1b {z0.b}, p0/z, [%0]\n\t"
                     "ld1b {z1.b}, p0/z, [%1]\n\t"
                     "smopa za0.s, p0/m, p0/m, z0.b, z1.b\n\t"
                     "mov w12, #0\n\t"
                     "mov x13, %2\n\t"
                     "1: st1w {za0h.s[w12, 0]}, p0, [x13]\n\t"
                     "addvl x13, x13, #1\n\t"
                     "add w12, w12, #1\n\t"
                     "cmp w12, %w3\n\t"
                     "b.lo 1b\n\t"
                     "smstop\n\t"
                     :
                     : "r"(a), "r"(b), "r"(found), "r"(side)
                     : "x12", "x13", "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
                       "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
                       "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
    for (size_t i = 0; i < side; i++) {
        for (size_t j = 0; j < side; j++) {
            if (found[i * side + j] != product(4 * i, 4 * j, 4)) {
                return false;
            }
        }
    }
    return true;
}

/* Says whether an instruction is right about every drawn pair of vectors. */
static bool holds(const char *name, bool (*is_right)(void))
{
    bool right = true;
    for (int i = 0; i < ROUNDS && right; i++) {
        draw(sizeof a);
        right = is_right();
    }
    printf("%s %s\n", right ? "right" : "wrong", name);
    return right;
}

static bool has(unsigned long bits, int bit)
{
    return bits >> bit & 1;
}

int main(void)
{
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    bool right = true;
    if (has(first, HWCAP_ASIMDDP_BIT)) {
        right = holds("sdot", dot_is_right) && right;
        right = holds("sdot-by-element", dot_by_lane_is_right) && right;
    }
    if (has(second, HWCAP2_I8MM_BIT)) {
        right = holds("smmla", matrix_is_right) && right;
    }
    if (has(second, HWCAP2_SME_BIT)) {
        right = holds("smopa", outer_is_right) && right;
    }
    puts("end");
    return right ? 0 : 1;
}
