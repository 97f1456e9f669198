/* listener_packet_conn.h - the server's packet connection: TCP connections that come in, and the
 * packets on them. One for each worker.
 *
 * A connection first tells its session ID, 8 bytes, within 10 s; then the queue packet conn knows
 * which session its packets are for. On a sealed listener whoever does not prove to be a client is
 * read, and told nothing, for a time that is the same for all. One that brings nothing for the
 * session timeout is ended, a native one after 100 s. All are in order of time: no timer for
 * each, no scan. The ListenerPacketConn of the worked example.
 *
 * A session lives at one worker. A connection that turns out to be another worker's is handed over
 * as a descriptor with its ID, when nothing behind the ID has been read yet.
 */
#ifndef TT_NET_LISTENER_PACKET_CONN_H
#define TT_NET_LISTENER_PACKET_CONN_H

#include <turbotunnel/session.h>

#include "core/queue_packet_conn.h"
#include "net/conn.h"
#include "net/origins.h"

struct tt_listener_packet_conn {
    struct tt_loop *worker;
    const struct tt_options *options; /* defaults filled in; borrowed */
    /* Something came: the sessions are to be served, and the deadline may have changed. */
    void (*changed)(struct tt_listener_packet_conn *l);
    /* Much came: better now than at the end of the turn. Loop's thread. */
    void (*serve)(struct tt_listener_packet_conn *l, uint64_t now_us);
    void (*report)(struct tt_listener_packet_conn *l, enum tt_report_kind kind, const char *session,
                   const char *detail);
    /* Where the session of that ID lives: this one, or another worker's. */
    struct tt_listener_packet_conn *(*home)(struct tt_listener_packet_conn *l,
                                            const struct tt_session_id *id);
    struct tt_quota *connections;      /* of all workers; those on their way between two included */
    struct tt_origins *origins;        /* the same, by address */
    struct tt_quota *sessions;         /* as connections */
    struct tt_quota *waiting;          /* sessions that wait to be accepted */
    bool sealed;                       /* what follows is of a sealed listener ... */
    uint64_t mute_us;                  /* how long a connection may go without proof (M-6) */
    const struct tt_server_keys *keys; /* of all workers; NULL: no session lives here */
    struct tt_quota *half_open;        /* of all workers */
    struct tt_gate gate;
    struct tt_heap unproven; /* connections on which nothing is proven, by the time of accept: one
                                that was slow to tell its ID comes here behind younger ones */
    struct tt_queue_packet_conn queue;
    struct tt_list unidentified; /* plain: connections that have not told their ID, oldest first */
    struct tt_list idle;         /* the others, in order of last input ... */
    struct tt_list idle_native;  /* ... and those on which a HELLO came */
    struct tt_listener_stats stats; /* of connections, but not how many there are */
};

/* The borrowed fields and callbacks are set by the caller before. 0 or TT_E_INVAL. */
int tt_listener_packet_conn_init(struct tt_listener_packet_conn *l);

/* Ends the connections that have told or proven nothing: from now on none is handed over from here.
 */
void tt_listener_packet_conn_end_strangers(struct tt_listener_packet_conn *l, uint64_t now_us);

/* Ends all connections and sessions. What is on its way to here must have arrived. */
void tt_listener_packet_conn_dispose(struct tt_listener_packet_conn *l, uint64_t now_us);

/* A connection has come in; fd is taken over. The loop's thread. */
void tt_listener_packet_conn_greet(struct tt_listener_packet_conn *l, int fd);

/* Connections that have not told their ID, or (sealed) proven anything. */
uint64_t tt_listener_packet_conn_unproven(const struct tt_listener_packet_conn *l);

/* Ends the connections that a session has given up. */
void tt_listener_packet_conn_close_doomed(struct tt_listener_packet_conn *l,
                                          const struct tt_endpoint *e, uint64_t now_us);

uint64_t tt_listener_packet_conn_deadline(const struct tt_listener_packet_conn *l);
void tt_listener_packet_conn_handle_timeout(struct tt_listener_packet_conn *l, uint64_t now_us);

#endif
