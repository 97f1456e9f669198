/* context.h - what the client and the server are given: the loop, the options, the log.
 *
 * The loop has a thread of its own, on which everything happens. The main thread sets up, waits for
 * the end and then closes what must be waited for.
 */
#ifndef TT_TUNNEL_CONTEXT_H
#define TT_TUNNEL_CONTEXT_H

#include <semaphore.h>

#include "net/worker.h"
#include "tunnel/keys.h"
#include "tunnel/log.h"
#include "tunnel/options.h"
#include "tunnel/tally.h"

struct tt_context {
    struct tt_loop *worker;
    struct tt_log log;
    const struct tt_tunnel_options *options;
    const struct tt_tunnel_options *lists; /* rules and keys of these: options, or read again */
    struct tt_tunnel_options *reread;      /* owned, or NULL */
    struct tt_tunnel_keys keys;
    char peer[TT_ERROR_TEXT_SIZE]; /* the address that the last connection was made to */
    struct tt_tally tally;
    char last_failure[TT_ERROR_TEXT_SIZE]; /* to connect, that was told; "": none since it worked */
    int argc;
    char **argv; /* to read the options again */
    sem_t over;
    int status; /* the exit status, once it is over */
};

/* The loop's thread: the main thread may close everything. The first call counts. */
void tt_context_over(struct tt_context *c, int status);

/* SIGHUP: reads the command line's options and the file again, and takes the lists from there; says
 * in the log how that went.
 */
void tt_context_read_lists(struct tt_context *c);

/* The main thread: waits for that. */
void tt_context_await(struct tt_context *c);

/* Frees what was read again, and the keys. */
void tt_context_dispose(struct tt_context *c);

/* What the library reports goes to the log. */
void tt_context_report(void *context, const struct tt_report *report);

/* The library's options, with the loop, the keys and the reports. */
struct tt_options tt_context_library(struct tt_context *c);

#endif
