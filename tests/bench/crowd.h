/* crowd.h - clients of many sessions by the callback API, on one thread. */
#ifndef TT_BENCH_CROWD_H
#define TT_BENCH_CROWD_H

#include "measure.h"

/* As tt_bench_sit_idle. */
void tt_bench_sit_idle_callbacks(const struct tt_bench_job *job);

/* job->visitors sessions at once, each dialled, used for one echo of 64 bytes, closed, and followed
 * by another, until there were job->visits of them or time is up. Prints one line of JSON.
 */
void tt_bench_come_and_go(const struct tt_bench_job *job);

#endif
