#include "machine.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "events.h"

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t peak_memory_bytes(void)
{
    /* Not getrusage: there a process begins with the peak of the one that started it. */
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) {
        return 0;
    }
    char line[256];
    uint64_t kibibytes = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmHWM: %" SCNu64 " kB", &kibibytes) == 1) {
            break;
        }
    }
    fclose(file);
    return kibibytes * 1024;
}

const char *machine_abi(void)
{
#if defined(__aarch64__)
    return "arm64-v8a";
#elif defined(__x86_64__)
    return "x86_64";
#else
#error "this architecture has no name here"
#endif
}

uint64_t online_cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (uint64_t)count;
}

/* Adds a word to a JSON list that is still open, where it and the closing bracket fit. */
static void add_word(char *json, size_t size, const char *word, size_t length)
{
    size_t used = strlen(json);
    if (length == 0 || used + length + 5 > size) {
        return;
    }
    snprintf(json + used, size - used, "%s\"%.*s\"", used > 1 ? "," : "", (int)length, word);
}

#if defined(__aarch64__)

/* The kernel's names of the bits of AT_HWCAP and AT_HWCAP2, from the lowest (arch/arm64/kernel/cpuinfo.c). */
static const char HWCAP_NAMES[] =
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4 "
    "asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg";
static const char HWCAP2_NAMES[] =
    "dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 i8mm bf16 dgh "
    "rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64 smei8i32 smef16f32 smeb16f32 smef32f32 smefa64 wfxt ebf16 "
    "sveebf16 cssc rprfm sve2p1 sme2";

static void add_bits(char *json, size_t size, unsigned long bits, const char *names)
{
    for (unsigned bit = 0; *names != '\0'; bit++) {
        size_t length = strcspn(names, " ");
        if (bits >> bit & 1) {
            add_word(json, size, names, length);
        }
        names += length + strspn(names + length, " ");
    }
}

static void add_features(char *json, size_t size)
{
    /* Not /proc/cpuinfo: an emulator shows its host's there. */
    add_bits(json, size, getauxval(AT_HWCAP), HWCAP_NAMES);
    add_bits(json, size, getauxval(AT_HWCAP2), HWCAP2_NAMES);
}

#else

static bool is_word(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_' && text[i] != '.' && text[i] != '-') {
            return false;
        }
    }
    return length > 0;
}

static void add_features(char *json, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) {
        return;
    }
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        if (strncmp(line, "flags", 5) != 0 || strchr(line, ':') == NULL) {
            continue;
        }
        const char *at = strchr(line, ':') + 1;
        for (at += strspn(at, " \t\n"); *at != '\0'; at += strspn(at, " \t\n")) {
            size_t length = strcspn(at, " \t\n");
            if (is_word(at, length)) {
                add_word(json, size, at, length);
            }
            at += length;
        }
        break;
    }
    free(line);
    fclose(file);
}

#endif

void cpu_features_json(char *json, size_t size)
{
    strcpy(json, "[");
    add_features(json, size);
    strcat(json, "]");
}

void run_on_cores(const unsigned *cores, size_t count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < count; i++) {
        CPU_SET(cores[i], &set);
    }
    cpu_set_t given;
    if (sched_setaffinity(0, sizeof set, &set) != 0 || sched_getaffinity(0, sizeof given, &given) != 0) {
        fail(FAULT_CORES, "the system doesn't let it run there: %s", strerror(errno));
    }
    /* The kernel leaves out those that aren't there, and says nothing. */
    if (!CPU_EQUAL(&set, &given)) {
        fail(FAULT_CORES, "the system gives %d of the %zu cores asked for", CPU_COUNT(&given), count);
    }
}
