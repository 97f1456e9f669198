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
#include "core/control.h"
#include "core/kcp/path.h"
#include "core/session_id.h"

struct tt_endpoint;
struct tt_carrier_seal;
struct tt_gate_reply;

/*   UNBOUND -> ACTIVE -> REPLACED -> GONE
 *      |         ^           |
 *      |         '-----------'  (nothing better is left)
 *      '--> GONE
 * UNBOUND: no session yet (server: no packet that could begin one has come). REPLACED: read, but
 * fed nothing. How much an ACTIVE one is worth is its rank.
 */
enum tt_carrier_role {
    TT_CARRIER_UNBOUND,
    TT_CARRIER_ACTIVE,
    TT_CARRIER_REPLACED,
    TT_CARRIER_GONE,
};

/* Data goes to all carriers of the best rank that is there; of LAST ones, to one (carriers.h). */
enum tt_carrier_rank {
    TT_RANK_GOOD,     /* proven, owes nothing */
    TT_RANK_STANDBY,  /* proven, and kept as a spare */
    TT_RANK_LAST,     /* suspect, or draining */
    TT_RANK_UNPROVEN, /* nothing came on it yet */
    TT_RANK_NONE,     /* to be fed nothing: replaced, over, or its budget is spent */
};

/* What a kind of carrier can do. */
struct tt_carrier_limits {
    bool ordered;            /* it keeps the order of packets, and loses none while it lives */
    uint32_t max_packet;     /* most bytes of a packet that we take and send, peer permitting */
    uint64_t max_bytes;      /* most bytes that it may take in all, framing included; 0: no limit */
    uint64_t max_bytes_down; /* the same for the peer, told by LIMIT; 0: no limit */
    uint64_t max_age_us;     /* how long it may be used; 0: no limit */
    uint32_t framing;        /* bytes that each packet costs beside itself */
    uint32_t prefix;         /* bytes that went before the first packet */
    uint64_t dial_us; /* how long it took to open, as a first guess at its round trip; 0: none */
};

/* Control packets that are to be sent on a carrier; each at most once at a time. */
struct tt_carrier_due {
    bool hello, ping, pong, limit;
    bool account;         /* of all we have received, behind PONG */
    uint8_t state;        /* enum tt_peer_state, or 0 */
    uint16_t hello_flags; /* of an answer, beside the usual ones */
    uint8_t pong_token[TT_CONTROL_TOKEN];
};

/* Whether it answers (liveness.h). Times are TT_NEVER when there is nothing to wait for. */
struct tt_liveness {
    bool suspect;           /* it owes an answer for longer than its limit */
    bool moved;             /* what flew on it was sent again on others */
    bool busy;              /* it was full in this window: its rate is the carrier's */
    bool measured;          /* it ever was: bytes_per_s is no mere lower bound */
    bool answered;          /* PONG came; una and acks are to follow */
    uint32_t skew_ms;       /* the least difference of our clock and the time in a header */
    uint32_t barrier_tx;    /* transmissions before this one are behind the barrier ... */
    uint32_t asked_tx;      /* ... as of the PING under way */
    uint64_t suspect_us;    /* since when */
    uint64_t heard_us;      /* when a packet last came */
    uint64_t waiting_us;    /* since when an answer is due: the clock of R-21 */
    uint64_t asked_us;      /* when the PING under way left */
    uint64_t last_asked_us; /* when the last one left, answered or not; 0: none did */
    uint64_t queue_us;    /* what the last data that came had waited on its way, beside the least */
    uint64_t skew_us;     /* when skew_ms was last set anew; 0: never */
    uint64_t quiet_us;    /* when a packet last came, behind new data; or TT_NEVER */
    uint32_t quiet_asked; /* how often that was asked about since */
    uint64_t keepalive_us; /* when to ask though nothing is going on */
    uint64_t barrier_us;   /* when what is behind the barrier counts as discarded */
    uint64_t arrivals;     /* of the path, as seen last */
    uint64_t window_us;    /* begin of the window in which its rate is measured */
    uint64_t window_bytes; /* of the path's arrived_bytes at that time */
    uint64_t bytes_per_s;  /* at which it delivers; 0: not known */
    uint8_t token[TT_CONTROL_TOKEN];
};

struct tt_carrier {
    struct tt_list_node node;     /* in endpoint->carriers, the newest last */
    struct tt_endpoint *endpoint; /* whose it is, or NULL while UNBOUND or GONE */
    struct tt_session_id id;      /* of the session that it says it belongs to */
    uint64_t attached;            /* server: 1, 2, 3 ... in order of their IDs being complete */
    struct tt_carrier_seal *seal; /* owned: keys of a sealed session's carrier, or NULL */
    struct tt_gate_reply *reply;  /* owned: of a sealed server, while UNBOUND, or NULL */
    uint64_t origin; /* server: stands for the address that it came from; 0: not known */
    enum tt_carrier_role role;
    enum tt_carrier_rank rank;
    struct tt_carrier_limits limits;
    struct tt_kcp_path path; /* what is outstanding on it, while ACTIVE */
    struct tt_carrier_due due;
    struct tt_liveness live;
    bool native; /* the peer's HELLO came on it */
    bool peer_no_drops, peer_resets;
    bool legacy;      /* it keeps the order, and the first packet was another */
    bool proven;      /* the client: a packet came on it; the server: it may be used */
    bool unknown;     /* server: told that its session is not here; what follows is dropped */
    bool standby;     /* one end wants to keep it as a spare */
    bool we_drain;    /* we have said that we send no more data here */
    bool peer_drains; /* and so has the peer */
    bool retiring;    /* client: another is wanted in its place */
    bool spent;       /* its budget is, in one direction or in time */
    bool named_gone;  /* by the peer */
    bool close_heard; /* CLOSE came on it */
    bool close_sent;
    bool doomed;     /* the owner is to close it: tt_endpoint_next_doomed */
    bool blocked;    /* set by the owner: the connection takes no more for now */
    bool data_tried; /* of a sealed server, while UNBOUND (M-6) ... */
    bool muted;      /* ... nothing that comes on it counts any more */
    uint8_t inits_tried;
    bool marked;     /* transmission mark_tx is being waited for: with it mark_bytes had passed */
    bool heard;      /* heard_una has a meaning */
    uint32_t number; /* 0, 1, 2 ... within the session; at a server what the client said */
    uint32_t heard_una; /* last una that came on it */
    uint32_t mark_tx;
    uint32_t gone_told;       /* how many of endpoint->gone were named on it */
    uint32_t peer_max_packet; /* as its HELLO says */
    uint32_t hellos;          /* how often ours was sent */
    uint64_t greeted_us;      /* when it last was */
    uint64_t
        ponged_us;     /* a millisecond later for each PONG, but not far behind the present */
    uint64_t hello_us; /* datagrams: when to send it again, or TT_NEVER */
    uint64_t peer_max_bytes; /* as its LIMIT says; 0: no limit */
    uint64_t peer_until_us;  /* the same in time; TT_NEVER: no limit */
    uint64_t opened_us;
    uint64_t taken_packets, taken_bytes;       /* what it was given; framing included */
    uint64_t received_packets, received_bytes; /* what it brought; framing included */
    uint64_t confirmed_bytes;                  /* of what it took: what is known to have passed */
    uint64_t mark_bytes;
    uint64_t progress_mark; /* the session's progress when it opened; see tt_carrier_progressed */
};

#endif
