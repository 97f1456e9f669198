/* redial_packet_conn.h - the client's packet connection: one TCP connection after the other.
 *
 *                     .---- failed, or no good (R-23) ----.
 *                     v                                    |
 *   IDLE -> DIALING <- WAITING      DIALING -> UP -> (ended)
 *                     ^                                    |
 *                     '-- after 100 ms, or at once: it was good
 *   STOPPED from anywhere, when the session is over or closed.
 *
 * The RedialPacketConn of the worked example, but patient: there one refused dial is the end; here
 * it is repeated, after 50 ms, 100 ms, ... 2 s, as long as the session lives. All but stop on the
 * loop's thread.
 */
#ifndef TT_NET_REDIAL_PACKET_CONN_H
#define TT_NET_REDIAL_PACKET_CONN_H

#include <turbotunnel/options.h>

#include "core/session/endpoint.h"
#include "net/conn.h"
#include "net/dialer.h"

enum tt_redial_state {
    TT_REDIAL_IDLE,
    TT_REDIAL_DIALING,
    TT_REDIAL_UP,
    TT_REDIAL_WAITING,
    TT_REDIAL_STOPPED,
};

struct tt_redial_packet_conn {
    struct tt_loop *worker;
    struct tt_endpoint *endpoint;     /* whose packets it carries */
    const struct tt_options *options; /* defaults filled in; borrowed */
    const char *address_text;         /* borrowed */
    /* Its connection came up, went, or brought something. */
    void (*changed)(struct tt_redial_packet_conn *r, uint64_t now_us);
    void (*report)(struct tt_redial_packet_conn *r, enum tt_report_kind kind, const char *detail,
                   uint64_t wait_us);
    enum tt_redial_state state;
    bool fail_fast;  /* the first dial that fails is the end */
    int first_error; /* of that dial; it is STOPPED then */
    struct tt_dialer dialer;
    struct tt_conn *conn;
    struct tt_timer wait_timer;
    uint64_t up_since_us;
    uint64_t second_began_us; /* for the limit on redials after progress */
    uint32_t redials_this_second;
    uint32_t failures; /* in a row */
    uint64_t connections;
    uint64_t dials_failed;
    struct tt_error_text why; /* the last dial failed, or the last connection was no good */
};

/* The borrowed fields, the callbacks and dialer.address are set by the caller before. 0,
 * TT_E_NOMEM. */
int tt_redial_packet_conn_init(struct tt_redial_packet_conn *r);
void tt_redial_packet_conn_dispose(struct tt_redial_packet_conn *r);

/* From IDLE: dials. */
void tt_redial_packet_conn_begin(struct tt_redial_packet_conn *r, uint64_t now_us);

/* Ends the connection, and dials no more. Any thread that has the lock. */
void tt_redial_packet_conn_stop(struct tt_redial_packet_conn *r, uint64_t now_us);

#endif
