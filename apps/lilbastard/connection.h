/* connection.h - one client's connection and its counterpart upstream: opened, forwarded, ended.
 *
 *   CONNECTING --> FORWARDING --> gone            both programs have ended it, or one has reset it
 *        |             |
 *        '-------------'--> ENDING --> gone       we ended it: by age or by bytes
 *
 * In ENDING each side is being drained (our FIN is out, what still comes is thrown away so that the
 * kernel does not answer it with a reset), silent (open, and we neither read nor write), or closed.
 *
 * A connection belongs to itself: it goes when both sides have ended, when it failed, or with
 * tt_lil_connection_drop(); its owner hears of that and must not touch it afterwards.
 */
#ifndef TT_LIL_CONNECTION_H
#define TT_LIL_CONNECTION_H

#include "dump.h"
#include "hold.h"
#include "jitter.h"
#include "options.h"

#include <uv.h>

struct tt_lil_connection;

enum tt_lil_connection_event {
    TT_LIL_OPENED,     /* first event: it is there, and must be dropped before the loop ends */
    TT_LIL_TERMINATED, /* is about to be ended by us; no program has noticed yet */
    TT_LIL_SILENT,     /* from now on it only stays open */
    TT_LIL_GONE,       /* last event: it is no longer there */
};

/* What all connections share. Everything is borrowed and outlives them. */
struct tt_lil_world {
    uv_loop_t *loop;
    const struct tt_lil_options *options;
    struct tt_lil_jitter jitter;
    struct tt_lil_pool pool;
    struct tt_lil_dump *dump;
    const struct addrinfo *upstream; /* tried one after the other */
    void (*happened)(void *ctx, struct tt_lil_connection *c, enum tt_lil_connection_event event);
    void *ctx;
};

/* For the owner's list of connections. */
struct tt_lil_link {
    struct tt_lil_connection *next, *previous;
};

/* Takes over fd, an accepted connection, and connects it upstream. Failures are printed, and events
 * tell what becomes of it: some of them before this returns.
 *
 *   number  counts connections from 1; it names this one in messages, and in draws of jitter
 *   peer    where the client is, for messages
 */
void tt_lil_connection_start(struct tt_lil_world *world, int fd, uint64_t number, const char *peer);

/* Ends it at once, without a word. TT_LIL_GONE is reported. */
void tt_lil_connection_drop(struct tt_lil_connection *c);

uint64_t tt_lil_connection_number(const struct tt_lil_connection *c);
/* Whether TT_LIL_SILENT was reported. */
bool tt_lil_connection_is_silent(const struct tt_lil_connection *c);

/* Belongs to the owner, who keeps it in a list. */
struct tt_lil_link *tt_lil_connection_link(struct tt_lil_connection *c);

#endif
