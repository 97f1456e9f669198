/* context.h - what the client and the server are given: the loop, the options, the log.
 *
 * The loop has a thread of its own, on which everything happens. The main thread sets up, waits for
 * the end and then closes what must be waited for.
 */
#ifndef TT_TUNNEL_CONTEXT_H
#define TT_TUNNEL_CONTEXT_H

#include <semaphore.h>

#include "net/worker.h"
#include "tunnel/log.h"
#include "tunnel/options.h"

struct tt_context {
    struct tt_loop *worker;
    struct tt_log log;
    const struct tt_tunnel_options *options;
    int argc;
    char **argv; /* to read the options again */
    sem_t over;
    int status; /* the exit status, once it is over */
};

/* The loop's thread: the main thread may close everything. The first call counts. */
void tt_context_over(struct tt_context *c, int status);

/* The main thread: waits for that. */
void tt_context_await(struct tt_context *c);

/* What the library reports goes to the log. */
void tt_context_report(void *context, const struct tt_report *report);

/* The library's options, with the loop and the reports. */
struct tt_options tt_context_library(struct tt_context *c);

#endif
