/* ways.h - the addresses of one server, and which of them is dialled next.
 *
 * They are tried in the order given: the next one when one is no good, and the first again behind
 * the last. A session that has several connections at once spreads them over all.
 */
#ifndef TT_NET_WAYS_H
#define TT_NET_WAYS_H

#include <turbotunnel/options.h>

#include "net/address.h"

struct tt_way {
    struct tt_address address;
    char text[sizeof(struct tt_address) + 4]; /* as the program gave it */
};

struct tt_ways {
    struct tt_way *ways; /* owned */
    uint32_t count;
    uint32_t preferred; /* the one that is not known to be no good */
    uint32_t turn;      /* spreads connections over them */
    bool spread;
};

/* address, and those of the options. 0, TT_E_INVAL with the reason in *why, or TT_E_NOMEM. */
int tt_ways_init(struct tt_ways *w, const char *address, const struct tt_options *o,
                 const struct tt_alloc *alloc, struct tt_error_text *why);
void tt_ways_dispose(struct tt_ways *w, const struct tt_alloc *alloc);

/* The number of the one to dial now. */
uint32_t tt_ways_next(struct tt_ways *w);

/* That one was no good. */
void tt_ways_failed(struct tt_ways *w, uint32_t way);

#endif
