/* bulk_callbacks.h - bulk over one stream by the callback API: one thread at each end. */
#ifndef TT_BENCH_BULK_CALLBACKS_H
#define TT_BENCH_BULK_CALLBACKS_H

#include <turbotunnel/turbotunnel.h>

#include "measure.h"

/* The server's end of a stream, until it is closed: a source or a sink. In a callback. */
void tt_bench_serve_stream(struct tt_stream *stream, bool is_source);

/* The client of one. */
void tt_bench_transfer_callbacks(const struct tt_bench_job *job);

#endif
