/*
 * A plugin of qemu's user mode emulation that counts the Arm instructions that a program executes.
 *
 * -plugin count.so,out=FILE writes into FILE, a line each:
 *   names NAME...          the kinds that are counted
 *   mark NS COUNT...       the program is about to read the clock CLOCK_MONOTONIC, at NS of it
 *   end NS COUNT...        the program ends
 * A count is that of all threads until then. The first kind is every instruction.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { ALL, DOT, MATRIX, FLOAT, HALF, KINDS };

static const char *const NAMES[KINDS] = {"all", "dot", "matrix", "float", "half"};

/* Arm Architecture Reference Manual, "Advanced SIMD and floating-point" and SVE's encodings. */
static const struct {
    uint32_t mask, bits;
    int kind;
} ENCODINGS[] = {
    {0x9fe0fc00, 0x0e809400, DOT},    /* SDOT, UDOT: vector */
    {0x9fc0f400, 0x0f80e000, DOT},    /* SDOT, UDOT: by element */
    {0xbfe0fc00, 0x0e809c00, DOT},    /* USDOT: vector */
    {0xbf40f400, 0x0f00f000, DOT},    /* USDOT, SUDOT: by element */
    {0xffe0f800, 0x44800000, DOT},    /* SVE SDOT, UDOT: vectors of 8 bits */
    {0xffe0f800, 0x44a00000, DOT},    /* SVE SDOT, UDOT: by element */
    {0xdfe0fc00, 0x4e80a400, MATRIX}, /* SMMLA, UMMLA */
    {0xffe0fc00, 0x4e80ac00, MATRIX}, /* USMMLA */
    {0xff20fc00, 0x45009800, MATRIX}, /* SVE SMMLA, USMMLA, UMMLA */
    {0xbf20fc00, 0x0e20cc00, FLOAT},  /* FMLA, FMLS: vector; bit 23 subtracts */
    {0xbf80b400, 0x0f801000, FLOAT},  /* FMLA, FMLS: by element */
    {0xbf60fc00, 0x0e400c00, HALF},   /* FMLA, FMLS: vector */
    {0xbfc0b400, 0x0f001000, HALF},   /* FMLA, FMLS: by element */
};

static struct qemu_plugin_scoreboard *board;
static FILE *out;

static qemu_plugin_u64 counter(int kind)
{
    qemu_plugin_u64 entry = {board, (size_t)kind * sizeof(uint64_t)};
    return entry;
}

static int kind_of(uint32_t bits)
{
    for (size_t i = 0; i < sizeof ENCODINGS / sizeof *ENCODINGS; i++) {
        if ((bits & ENCODINGS[i].mask) == ENCODINGS[i].bits) {
            return ENCODINGS[i].kind;
        }
    }
    return ALL;
}

static void count_one(struct qemu_plugin_insn *instruction, int kind)
{
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(instruction, QEMU_PLUGIN_INLINE_ADD_U64, counter(kind), 1);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint32_t bits = 0;
        qemu_plugin_insn_data(instruction, &bits, sizeof bits);
        int kind = kind_of(bits);
        count_one(instruction, ALL);
        if (kind != ALL) {
            count_one(instruction, kind);
        }
    }
}

static void say(const char *what)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(out, "%s %" PRId64, what, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(out, " %" PRIu64, qemu_plugin_u64_sum(counter(kind)));
    }
    fputc('\n', out);
}

static void on_syscall(qemu_plugin_id_t id, unsigned int cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                       uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    enum { CLOCK_GETTIME = 113 }; /* of 64-bit Arm Linux */
    if (number == CLOCK_GETTIME && a1 == CLOCK_MONOTONIC) {
        say("mark");
    }
}

static void on_end(qemu_plugin_id_t id, void *nothing)
{
    (void)id, (void)nothing;
    say("end");
    fclose(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    if (strcmp(info->target_name, "aarch64") != 0 || argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fputs("count: it is for aarch64, and wants out=FILE\n", stderr);
        return -1;
    }
    out = fopen(argv[0] + 4, "w");
    if (out == NULL) {
        perror(argv[0] + 4);
        return -1;
    }
    fputs("names", out);
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(out, " %s", NAMES[kind]);
    }
    fputc('\n', out);
    board = qemu_plugin_scoreboard_new(KINDS * sizeof(uint64_t));
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
