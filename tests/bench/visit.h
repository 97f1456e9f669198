/* visit.h - a client's session by the callback API: dialled, and so many bytes echoed on one
 * stream. What happens then is for its owner to say.
 */
#ifndef TT_BENCH_VISIT_H
#define TT_BENCH_VISIT_H

#include <turbotunnel/turbotunnel.h>

#include "measure.h"

/* In its owner's memory. The first five fields are the owner's to set. */
struct tt_bench_visit {
    const struct tt_bench_job *job; /* borrowed */
    struct tt_loop *loop;           /* borrowed */
    uint64_t bytes;                 /* to be echoed, at least 1 */
    /* All of them have come back: on the loop's thread. The visit may be ended there, and begun
     * again. */
    void (*echoed)(struct tt_bench_visit *v);
    void *owner;
    struct tt_session *session;
    struct tt_stream *stream;
    uint64_t sent, came; /* bytes */
    uint64_t begun_ns;
};

/* Begins to dial. One that fails later ends the program. */
void tt_bench_visit_begin(struct tt_bench_visit *v);

/* Closes the stream and the session. */
void tt_bench_visit_end(struct tt_bench_visit *v);

#endif
