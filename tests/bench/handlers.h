/* handlers.h - what a server does with a stream. As the Go peers: tests/interop/go/README.md. */
#ifndef TT_BENCH_HANDLERS_H
#define TT_BENCH_HANDLERS_H

#include "link.h"

#define TT_BENCH_BUFFER_BYTES 65536
#define TT_BENCH_COUNT_BYTES  8 /* a count in network byte order, in either direction */
#define TT_BENCH_PING_BYTES   64

typedef void tt_bench_handler(struct tt_bench_stream *stream);

/* For "echo"; "sink": what comes is counted, the count sent at the end; "source": what is asked for
 * is sent; "choose": one of these, by the stream's first byte. NULL: there is no such mode.
 */
tt_bench_handler *tt_bench_handler_for(const char *mode);

/* The first byte of a stream at a server whose mode is choose, for one of the other modes. */
unsigned char tt_bench_choice(const char *mode);

void tt_bench_put_count(unsigned char wire[TT_BENCH_COUNT_BYTES], uint64_t count);
uint64_t tt_bench_get_count(const unsigned char wire[TT_BENCH_COUNT_BYTES]);

#endif
