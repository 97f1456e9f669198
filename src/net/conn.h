/* conn.h - one TCP connection that carries packets: a descriptor, its encapsulation, its carrier.
 *
 * What came is handed to its owner packet by packet; what its session wants to send is gathered and
 * written with one system call, as far as the socket takes it. The rest of a batch stays here, and
 * nothing more is asked for until it has gone.
 */
#ifndef TT_NET_CONN_H
#define TT_NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/encapsulation.h"
#include "core/session/carrier.h"
#include "net/worker.h"

struct tt_conn;

/* What its owner does with it. All are called with the loop's lock held, by the loop's thread. */
struct tt_conn_owner {
    /* The first bytes of a server's connection, its session ID, have come; what is behind them was
     * not read yet. It may be released now.
     */
    void (*identified)(struct tt_conn *c, uint64_t now_us, const struct tt_session_id *id);
    void (*packet)(struct tt_conn *c, uint64_t now_us, struct tt_span packet, struct tt_slab *slab);
    /* All that came in this turn has been handed over. much: so much that it is better served
     * now, before the next connection is read. That may close the connection.
     */
    void (*input_done)(struct tt_conn *c, uint64_t now_us, bool much);
    /* The next packet to send: as tt_endpoint_next_packet. */
    int (*next_packet)(struct tt_conn *c, uint64_t now_us, struct tt_gather *g, uint32_t *len);
    bool (*wants_send)(const struct tt_conn *c);
    /* The connection has ended: why is 0 (by the peer, between packets) or TT_E_*; see
     * tt_conn_reason. The owner closes it.
     */
    void (*ended)(struct tt_conn *c, uint64_t now_us, int why);
};

struct tt_conn {
    struct tt_loop *worker;
    const struct tt_conn_owner *owner;
    void *user;
    int fd;
    int events;          /* what uv polls for now */
    int broken;          /* why a write failed; the loop's thread ends the connection */
    int os_error;        /* errno behind TT_E_SYSTEM */
    uv_poll_t poll;      /* freed by its close callback */
    struct tt_chore arm; /* to change what is polled for; the loop's thread does it */
    struct tt_carrier carrier;
    struct tt_decap decap;
    uint64_t origin;         /* the owner's (server): stands for the address it came from */
    struct tt_session_id id; /* being read (server) */
    uint8_t id_have;
    uint8_t way; /* client: the one that it was dialled on */
    bool id_wanted;
    bool open;
    bool more;                     /* there may be more to send, but it is the others' turn */
    struct tt_gather *rest;        /* of a batch that the socket did not take, or NULL */
    struct tt_list_node idle_node; /* the owner's list of connections in order of last input */
    struct tt_heap_node unproven;  /* a sealed listener's, as long as nothing is proven */
    uint64_t begun_us, heard_us;   /* begun: accepted, or connected */
};

/* Takes over fd (closed on error too). id: the client's session ID, written first; NULL: a server,
 * which waits for one. The connection is freed by itself after tt_conn_close. Loop's thread.
 * Returns 0, TT_E_NOMEM or TT_E_SYSTEM.
 */
int tt_conn_new(struct tt_loop *w, int fd, const struct tt_session_id *id,
                const struct tt_conn_owner *owner, void *user, struct tt_conn **conn);

/* Reads what has come already, before the loop says that something has. It may end the connection.
 * Loop's thread.
 */
void tt_conn_read(struct tt_conn *c, uint64_t now_us);

/* Sends what there is to send, as far as the socket takes it. Any thread that has the lock. */
void tt_conn_flush(struct tt_conn *c, uint64_t now_us);

/* Closes the descriptor and frees the connection at the end of the turn; `ended` is not called. Any
 * thread that has the lock. The carrier must have been closed or detached.
 */
void tt_conn_close(struct tt_conn *c);

/* Reads and throws away what has come, so that the other end is not told that it was not read. */
void tt_conn_drain(struct tt_conn *c);

/* As tt_conn_close, but the descriptor is returned, open, to be watched by another loop. The loop's
 * thread; nothing was sent, or read behind the session ID.
 */
int tt_conn_release(struct tt_conn *c);

/* Why it ended, for a person. */
const char *tt_conn_reason(const struct tt_conn *c, int why);

#endif
