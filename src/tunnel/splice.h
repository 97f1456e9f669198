/* splice.h - a stream and a socket (or standard input and output) joined, as if they were one
 * connection.
 *
 * Each direction ends by itself; what reset one side resets the other; where one side takes no more
 * nothing is read from the other. Bytes are received into the stream's memory and sent from it.
 *
 * The loop's thread only. A splice frees itself after its end.
 */
#ifndef TT_TUNNEL_SPLICE_H
#define TT_TUNNEL_SPLICE_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/stream.h>

#include "core/base/list.h"
#include "net/worker.h"

struct tt_splice;

/* How it ended. */
struct tt_splice_end {
    bool in_order;      /* both directions came to their end */
    bool answered;      /* see awaits_status */
    uint32_t code;      /* the peer's, when it reset the stream (enum tt_reset_code) */
    int fd;             /* where the far side's bytes went; closed after the call */
    bool resets_socket; /* the callee may say no, if it has told the program in another way */
};

struct tt_splice_config {
    struct tt_loop *worker;
    struct tt_list *list; /* it is in here while it lives; abort it from there */
    struct tt_stream *stream;
    int in_fd, out_fd;     /* one socket, or two descriptors; its own from now on */
    bool awaits_status;    /* the stream's first byte is the answer of the far end (F-5) */
    bool ends_with_output; /* over when the far side has ended, whatever in_fd still says */
    void (*answered)(void *ctx, int out_fd);             /* the far end is connected; or NULL */
    void (*ended)(void *ctx, struct tt_splice_end *end); /* once, unless aborted; or NULL */
    void *ctx;
};

struct tt_splice {
    struct tt_list_node node; /* in the list */
    struct tt_splice_config config;
};

/* Joins them. On error the descriptors are closed and the stream is reset, and `ended` is not
 * called. Returns 0, TT_E_NOMEM or TT_E_SYSTEM.
 */
int tt_splice_begin(const struct tt_splice_config *config);

/* Resets both sides of all in a list; `ended` is not called. */
void tt_splice_abort_all(struct tt_list *list, uint32_t code);

/* Closes a socket so that its other end sees a reset. */
void tt_close_with_reset(int fd);

#endif
