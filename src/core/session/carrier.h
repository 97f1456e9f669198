/* carrier.h - what the core knows of one carrier: a transient connection that moves packets.
 *
 * The owner of the connection (a driver, a simulator) keeps one of these for each, hands in what
 * came on it and asks for packets when it can take some. Not to be confused with the socket code.
 */
#ifndef TT_CORE_SESSION_CARRIER_H
#define TT_CORE_SESSION_CARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/kcp/path.h"
#include "core/session_id.h"

struct tt_endpoint;

/*   UNBOUND -> ACTIVE -> REPLACED -> GONE
 *      |         ^           |
 *      |         '-----------'  (nothing better is left)
 *      '--> GONE
 * UNBOUND: no session yet (server: no packet that could begin one has come). REPLACED: read, but
 * fed nothing. Standby and draining come with native sessions.
 */
enum tt_carrier_role {
    TT_CARRIER_UNBOUND,
    TT_CARRIER_ACTIVE,
    TT_CARRIER_REPLACED,
    TT_CARRIER_GONE,
};

/* What a kind of carrier can do. */
struct tt_carrier_limits {
    bool ordered;        /* it keeps the order of packets, and loses none while it lives */
    uint32_t max_packet; /* most bytes of a packet */
    uint64_t max_bytes;  /* most bytes that it may take in all; 0: no limit */
};

struct tt_carrier {
    struct tt_list_node node;     /* in endpoint->carriers, the newest last */
    struct tt_endpoint *endpoint; /* whose it is, or NULL while UNBOUND or GONE */
    struct tt_session_id id;      /* of the session that it says it belongs to */
    uint32_t number;              /* 0, 1, 2 ... within the session, in order of opening */
    uint64_t attached;            /* server: 1, 2, 3 ... in order of their IDs being complete */
    enum tt_carrier_role role;
    struct tt_carrier_limits limits;
    struct tt_kcp_path path; /* what is outstanding on it, while ACTIVE */
    uint64_t opened_us;
    uint64_t taken_packets, taken_bytes;       /* what it was given */
    uint64_t received_packets, received_bytes; /* what it brought */
    uint64_t progress_mark; /* the session's progress when it opened; see tt_carrier_progressed */
    uint64_t acked_mark;    /* bytes that the session had acknowledged when it became ACTIVE */
    uint32_t heard_una;     /* last una that came on it */
    bool heard;
};

#endif
