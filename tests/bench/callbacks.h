/* callbacks.h - a server and a ping-pong client of sessions by the callback API: one thread. */
#ifndef TT_BENCH_CALLBACKS_H
#define TT_BENCH_CALLBACKS_H

#include "measure.h"

/* Says on standard error where it listens. mode: what is done with a stream. Does not return. */
void tt_bench_serve_callbacks(const char *address, const char *mode);

/* A loop that the caller runs. */
struct tt_loop *tt_bench_new_loop(void);

void tt_bench_pingpong_callbacks(const struct tt_bench_job *job);

#endif
