/* listener_packet_conn.h - the server's packet connection: TCP connections that come in, and the
 * sessions they belong to.
 *
 * A connection first tells its session ID, 8 bytes, within 10 s; then the queue packet conn knows
 * which session its packets are for.
 */
#ifndef TT_NET_LISTENER_PACKET_CONN_H
#define TT_NET_LISTENER_PACKET_CONN_H

#include <uv.h>

#include "core/queue_packet_conn.h"
#include "net/conn.h"
#include "net/session.h"

/* A listening socket. */
struct tt_door {
    uv_poll_t poll;
    struct tt_listener *owner;
    const struct tt_alloc *alloc;
    int fd;
};

struct tt_listener {
    struct tt_loop *worker;
    struct tt_options options; /* defaults filled in */
    struct tt_queue_packet_conn queue;
    struct tt_door *door;          /* or NULL: stopped */
    struct tt_list unidentified;   /* connections that have not told their ID, oldest first */
    struct tt_list idle;           /* the others, in order of last input */
    struct tt_list accept_waiters; /* threads in tt_listener_accept */
    struct tt_list change_waiters; /* threads that wait for the end */
    struct tt_chore chore;         /* to serve the sessions */
    struct tt_chore door_chore;    /* to open or close the door: the loop's thread */
    struct tt_timer timer;         /* the earliest of: sessions, handshakes, idle connections */
    struct tt_timer door_timer;    /* to accept again, after no descriptor was to be had */
    void (*begun)(void *ctx, struct tt_session *session);
    void *begun_ctx;
    uint32_t connections_now;
    bool owns_loop;
    bool stopped;
    bool destroyed;
    struct tt_listener_stats stats;
    char address_text[TT_ERROR_TEXT_SIZE];
};

#endif
