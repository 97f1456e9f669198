/* callbacks.h - a server and a ping-pong client of sessions by the callback API: one thread. */
#ifndef TT_BENCH_CALLBACKS_H
#define TT_BENCH_CALLBACKS_H

#include "measure.h"

/* Says on standard error where it listens. Does not return. */
void tt_bench_serve_callbacks(const struct tt_bench_job *job);

/* The server's sessions that have begun and not ended. Any thread. */
unsigned tt_bench_sessions_alive(void);

/* A loop that the caller runs. */
struct tt_loop *tt_bench_new_loop(void);

void tt_bench_pingpong_callbacks(const struct tt_bench_job *job);

#endif
