/* socks_guest.h - a connection to the SOCKS listener, until it has said where it leads.
 *
 * The loop's thread only. A guest frees itself.
 */
#ifndef TT_TUNNEL_SOCKS_GUEST_H
#define TT_TUNNEL_SOCKS_GUEST_H

#include "core/base/list.h"
#include "net/worker.h"
#include "tunnel/target.h"

struct tt_socks_host {
    struct tt_loop *worker;
    struct tt_list *guests; /* those under way */
    /* It leads there; fd is the callee's, who sends the reply. */
    void (*asked)(void *ctx, int fd, const struct tt_target *target);
    void *ctx;
};

/* Takes fd over. host is copied. */
void tt_socks_guest_begin(const struct tt_socks_host *host, int fd);

/* Closes all in a list. */
void tt_socks_guest_abort_all(struct tt_list *guests);

#endif
