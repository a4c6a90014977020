/* What the machine is and gives: clock, memory, cores, features of its CPU. */
#ifndef DVFL_MACHINE_H
#define DVFL_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The monotonic clock. */
int64_t monotonic_ns(void);

/* The most that this process had resident, in bytes; 0 where the system doesn't tell. */
uint64_t peak_memory_bytes(void);

/* The architecture that this was built for, by Android's names: `arm64-v8a`, `x86_64`. */
const char *machine_abi(void);

/* How many cores the system has online; at least 1. */
uint64_t online_cores(void);

/* Features of the CPU by the kernel's names, as a JSON list; cut short where it doesn't fit. */
void cpu_features_json(char *json, size_t size);

/* Run on these cores alone, with every thread that is started from here on; fails where the system refuses. */
void run_on_cores(const unsigned *cores, size_t count);

#ifdef __cplusplus
}
#endif

#endif
