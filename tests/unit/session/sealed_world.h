/* sealed_world.h - the world of fixture.h with both ends sealed: its client, its server and what
 * stands at the server's gate. Needs libcrypto.
 *
 * All keys come from one seed, so that a run repeats to the byte.
 */
#ifndef TESTS_UNIT_SESSION_SEALED_WORLD_H
#define TESTS_UNIT_SESSION_SEALED_WORLD_H

#include "core/gate.h"
#include "core/session/sealed.h"
#include "session/fixture.h"

#define SEALED_WALL_S UINT64_C(1790000000) /* what the wall clock says at first */

struct sealed_setup {
    struct session_setup session;
    bool identity; /* the client has a key of its own ... */
    bool by_list;  /* ... and the server takes those on its list alone */
    uint32_t max_half_open, inits_per_second, max_seen;
};

struct sealed_world {
    struct session_world w;
    struct tt_sealer sealer;
    struct tt_client_keys client_keys;
    struct tt_server_keys server_keys;
    struct tt_gate gate;
    uint64_t seed;
    uint64_t wall_s;
    bool welcome;   /* what the server's list says */
    bool no_random; /* there is none */
};

/* Ordered carriers with long packets, nobody listed; 4 half open, 100 keys seen. */
struct sealed_setup sealed_setup(void);

/* The same over datagrams of 1400 bytes. */
struct sealed_setup sealed_datagrams(void);

/* setup: NULL for the usual one. Nothing has been said yet. */
void sealed_world_open(struct sealed_world *s, const struct sealed_setup *setup);
/* Fails the test if memory is left, that of carriers which were not closed included. */
void sealed_world_close(struct sealed_world *s);

/* The server's program begins anew: no session, and nothing that was seen, is known any more. */
void sealed_server_restarts(struct sealed_world *s);

/* The client's end of a new connection, and the server's behind it, which says the same ID. */
void sealed_dials(struct sealed_world *s, struct tt_carrier *client, struct tt_carrier *server);

/* Both ends of a connection are closed; NULL: there is no such end. */
void sealed_hangs_up(struct sealed_world *s, struct tt_carrier *client, struct tt_carrier *server);

/* What is due at both ends is done, whenever it is due, for so long; nothing is carried. */
void sealed_waits(struct sealed_world *s, uint64_t us);

/* A session that has begun: the client's stream was accepted at the server. */
struct sealed_pair {
    struct sealed_world s;
    struct tt_carrier client, server;
    struct tt_server_session *session;
    struct tt_endpoint *far;
    struct tt_smux_stream *stream, *far_stream;
};

void open_sealed_pair(struct sealed_pair *p, const struct sealed_setup *setup);

/* The same, but nothing was said in it: confirmed, and not used. */
void open_unused_pair(struct sealed_pair *p, const struct sealed_setup *setup);

void close_sealed_pair(struct sealed_pair *p);

#endif
