/* redial_packet_conn.h - the client's packet connection: one TCP connection after the other.
 *
 *                     .------ failed, or R-23 -----.
 *                     v                             |
 *   IDLE -> RESOLVING -> DIALING -> UP -> (ended) --+--> WAITING -> DIALING ...
 *             (names)                   \-- with progress: DIALING at once
 *   STOPPED from anywhere, when the session is over or closed.
 *
 * The RedialPacketConn of the worked example, but patient: there one refused dial is the end; here
 * it is repeated, after 50 ms, 100 ms, ... 2 s, as long as the session lives.
 */
#ifndef TT_NET_REDIAL_PACKET_CONN_H
#define TT_NET_REDIAL_PACKET_CONN_H

#include <netdb.h>
#include <uv.h>

#include "net/address.h"
#include "net/conn.h"
#include "net/session.h"

enum tt_redial_state {
    TT_REDIAL_IDLE,
    TT_REDIAL_RESOLVING,
    TT_REDIAL_DIALING,
    TT_REDIAL_UP,
    TT_REDIAL_WAITING,
    TT_REDIAL_STOPPED,
};

/* A dial under way: a socket that will become writable. */
struct tt_dial {
    uv_poll_t poll;
    struct tt_redial_packet_conn *owner; /* NULL: given up */
    const struct tt_alloc *alloc;
    int fd;
};

struct tt_redial_packet_conn {
    struct tt_session session; /* what the program holds */
    struct tt_endpoint endpoint;
    struct tt_options options; /* defaults filled in */
    struct tt_address address;
    char address_text[sizeof(struct tt_address) + 4];
    enum tt_redial_state state;
    bool abandoned;              /* closed by a callback: frees itself */
    bool fail_fast;              /* tt_dial: the first failed dial is the end */
    int first_error;             /* of that dial */
    uv_getaddrinfo_t *resolving; /* or NULL */
    struct addrinfo *found, *next_found;
    bool found_by_uv;
    struct tt_dial *dial;
    struct tt_conn *conn;
    struct tt_chore chore;         /* to serve the session */
    struct tt_chore leftover;      /* while abandoned: to be freed with the loop */
    struct tt_chore step;          /* to go on dialing; the loop's thread */
    struct tt_timer dial_timer;    /* dial timeout, or the end of a wait */
    struct tt_timer session_timer; /* the endpoint's deadline, or the end of lingering */
    uint64_t linger_until_us;
    uint64_t up_since_us;
    uint64_t second_began_us; /* for the limit on redials after progress */
    uint32_t redials_this_second;
    uint32_t failures; /* dials in a row */
};

#endif
