/* process.h - what all parts of the peer do with the process that they are. */
#ifndef TT_BENCH_PROCESS_H
#define TT_BENCH_PROCESS_H

#include <stdint.h>

/* Prints "peer: WHAT: WHY" and ends the process with status 1. */
_Noreturn void tt_bench_fail(const char *what, const char *why);

void tt_bench_start_thread(void *(*run)(void *), void *arg); /* detached */

uint64_t tt_bench_now_ns(void); /* monotonic */

double tt_bench_cpu_seconds(void); /* user and system time of this process */

void *tt_bench_allocate(uint64_t size); /* zeroed; never NULL */

void tt_bench_wait_for_end_of_input(void);

void tt_bench_give_memory_back(void); /* to the system, what can be */

/* As many descriptors as the system lets us have. */
void tt_bench_raise_descriptor_limit(void);

#endif
