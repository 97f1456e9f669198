/* redial_packet_conn.h - the client's packet connection: TCP connections that come and go.
 *
 *   IDLE -> RUNNING -> STOPPED (the session is over or closed)
 *
 * While RUNNING it dials whenever core/session/dialing.h says so, and closes the connections that
 * the session has given up. The RedialPacketConn of the worked example, but patient: there one
 * refused dial is the end; here it is repeated, after 50 ms, 100 ms, ... 2 s, as long as the
 * session lives. All but stop and review on the loop's thread.
 */
#ifndef TT_NET_REDIAL_PACKET_CONN_H
#define TT_NET_REDIAL_PACKET_CONN_H

#include <turbotunnel/options.h>

#include "core/session/dialing.h"
#include "core/session/endpoint.h"
#include "net/conn.h"
#include "net/dialer.h"
#include "net/ways.h"

enum tt_redial_state {
    TT_REDIAL_IDLE,
    TT_REDIAL_RUNNING,
    TT_REDIAL_STOPPED,
};

struct tt_redial_packet_conn {
    struct tt_loop *worker;
    struct tt_endpoint *endpoint;     /* whose packets it carries */
    const struct tt_options *options; /* defaults filled in; borrowed */
    struct tt_ways *ways;             /* to the server; borrowed */
    uint32_t way;                     /* that a report is about */
    /* A connection came up, went, or brought something. */
    void (*changed)(struct tt_redial_packet_conn *r, uint64_t now_us);
    /* Much came: better now than at the end of the turn. Loop's thread. */
    void (*serve)(struct tt_redial_packet_conn *r, uint64_t now_us);
    void (*report)(struct tt_redial_packet_conn *r, enum tt_report_kind kind, const char *detail,
                   uint64_t wait_us);
    enum tt_redial_state state;
    bool fail_fast;  /* the first dial that fails is the end */
    int first_error; /* of that dial; it is STOPPED then */
    struct tt_dialing dialing;
    struct tt_dialer dialers[TT_DIALS_AT_ONCE];
    uint32_t dialled[TT_DIALS_AT_ONCE]; /* the way that each tries, or tried last */
    struct tt_chore dial_chore;         /* to dial: the loop's thread */
    struct tt_timer wait_timer;
    uint64_t begun_us;
    uint64_t connections;
    uint64_t suspicions_told, limits_told;
    struct tt_error_text why; /* the last dial failed, or the last connection was no good */
};

/* The borrowed fields and the callbacks are set by the caller before. 0, TT_E_NOMEM,
 * TT_E_SYSTEM. */
int tt_redial_packet_conn_init(struct tt_redial_packet_conn *r);
void tt_redial_packet_conn_dispose(struct tt_redial_packet_conn *r);

/* From IDLE: dials. */
void tt_redial_packet_conn_begin(struct tt_redial_packet_conn *r, uint64_t now_us);

/* The session may have given up connections, or want another. Any thread that has the lock. */
void tt_redial_packet_conn_review(struct tt_redial_packet_conn *r, uint64_t now_us);

/* Ends the connections, and dials no more. Any thread that has the lock. */
void tt_redial_packet_conn_stop(struct tt_redial_packet_conn *r, uint64_t now_us);

#endif
