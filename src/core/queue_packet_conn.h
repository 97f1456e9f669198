/* queue_packet_conn.h - the server's packet connection: from many carriers to many sessions.
 *
 * The QueuePacketConn of the worked example turned "push" into "pull" with a queue for each session
 * ID. Here a session itself is asked when a carrier can take a packet, so nothing queues and
 * nothing is dropped because a queue was full; what is left of the name's meaning is all the rest:
 * packets that came in on any carrier find their session by its ID, sessions begin and expire, and
 * whoever has something to say is put into one list, to be flushed once at the end of a turn.
 *
 * Sans-I/O. One thread at a time. No function calls back.
 */
#ifndef TT_CORE_QUEUE_PACKET_CONN_H
#define TT_CORE_QUEUE_PACKET_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/quota.h"
#include "core/gate.h"
#include "core/remote_map.h"
#include "core/session/endpoint.h"

struct tt_queue_packet_conn_config {
    struct tt_endpoint_tuning tuning; /* of every session; session_timeout_us is how long one lives
                                         without a packet from its client */
    uint32_t max_sessions;            /* at once, those waiting and those closed included; at this
                                         limit the closed that wait for nothing make room */
    uint32_t max_remembered;          /* IDs of sessions that are over; the oldest is forgotten */
    uint32_t accept_backlog;          /* sessions waiting to be accepted (K-40) */
    struct tt_quota *sessions_quota;  /* instead of these two, when several share such limits: */
    struct tt_quota *waiting_quota;   /* borrowed. NULL: this one alone has its own */
    uint64_t
        closed_us; /* how long a closed session's ID is remembered, and its acks repeated */
    uint8_t hash_key[TT_SIPHASH_KEY];
    struct tt_slab_pool *slabs;
    const struct tt_alloc *alloc;
    struct tt_gate *gate; /* borrowed: all sessions are sealed; NULL: all are plain */
};

/*   WAITING -> ACCEPTED -> CLOSED -> (freed)
 * WAITING: for tt_queue_packet_conn_accept. CLOSED: the application is done with it; its last data
 * is still delivered and acknowledged for a while. When both ends know that it is over, it is freed
 * and its ID alone is remembered for that while, which costs little and keeps nobody out.
 */
enum tt_server_session_state {
    TT_SERVER_SESSION_WAITING,
    TT_SERVER_SESSION_ACCEPTED,
    TT_SERVER_SESSION_CLOSED,
};

struct tt_server_session {
    struct tt_endpoint endpoint;
    struct tt_remote remote;        /* in the map, unless replaced by a new conversation (K-39) */
    struct tt_heap_node timer;      /* the endpoint's deadline */
    struct tt_list_node turn_node;  /* in the list of dirty ones; or, closed with nothing left to
                                       deliver and no carrier, of idle ones */
    struct tt_list_node state_node; /* in the accept or the closed list */
    uint64_t closed_at_us;
    uint64_t begun_us; /* M-17 */
    uint64_t out_us;   /* its client is not welcome any more: it ends then; or TT_NEVER (M-18) */
    enum tt_server_session_state state;
    bool dirty; /* something may have to be sent or reported */
    void *user; /* the driver's; NULL at first */
};

struct tt_queue_packet_conn_stats {
    uint64_t sessions_begun, sessions_expired, sessions_replaced;
    uint64_t strays;          /* packets of no session that may not begin one */
    uint64_t wrong_conv;      /* packets of a known ID with another conversation, sn not 0 (K-39) */
    uint64_t backlog_full;    /* sessions not begun: too many wait to be accepted */
    uint64_t sessions_full;   /* sessions not begun: max_sessions */
    uint64_t no_memory;       /* sessions not begun */
    uint64_t control_unbound; /* control packets on carriers without a session */
    uint64_t unknown;         /* carriers that were told that their session is not here */
    uint64_t closed_early;    /* closed sessions that made room for new ones */
    uint64_t expired_crowded; /* sealed: sessions without a carrier, when many exist (M-17) */
    uint64_t turned_out;      /* sealed: sessions whose clients are not welcome any more (M-18) */
    uint64_t not_remembered;  /* IDs of sessions that are over, for max_remembered or no memory */
};

struct tt_queue_packet_conn {
    struct tt_queue_packet_conn_config config;
    struct tt_remote_map remotes;
    struct tt_remote_map remembered; /* sessions that are over */
    struct tt_heap timers;
    struct tt_list dirty;
    struct tt_list waiting; /* to be accepted, oldest first */
    struct tt_list closed;  /* oldest first */
    struct tt_list idle;    /* of those, the ones that can make room; oldest first */
    uint32_t sessions;      /* all objects */
    struct tt_quota own_sessions, own_waiting; /* when none are shared */
    struct tt_session_id thinned_to;           /* M-17: who is to be looked at next, ... */
    bool thinning;                             /* ... or whoever stands first */
    uint64_t attached;                         /* carriers so far */
    struct tt_queue_packet_conn_stats stats;
};

/* 0 or TT_E_INVAL. Allocates nothing. q must not be moved afterwards. */
int tt_queue_packet_conn_init(struct tt_queue_packet_conn *q,
                              const struct tt_queue_packet_conn_config *config);

/* Frees all sessions, accepted ones too. Safe on all zeroes, and twice. */
void tt_queue_packet_conn_dispose(struct tt_queue_packet_conn *q);

/* A carrier has told its session ID. c is the caller's memory until detach. If the session exists
 * the carrier replaces its older ones; otherwise it waits for a packet that may begin one, and
 * costs nothing but itself.
 */
void tt_queue_packet_conn_attach(struct tt_queue_packet_conn *q, uint64_t now_us,
                                 struct tt_carrier *c, const struct tt_session_id *id,
                                 const struct tt_carrier_limits *limits);

/* The carrier's connection is gone. Safe also when the session ended first. */
void tt_queue_packet_conn_detach(struct tt_queue_packet_conn *q, uint64_t now_us,
                                 struct tt_carrier *c);

/* A packet came on c (QueueIncoming). What fits nowhere is counted and dropped. Returns 0, or why
 * the connection must be ended: TT_E_PROTO (a control packet made no sense), TT_E_FULL (a limit:
 * the session cannot be begun, and what came had been promised not to be thrown away).
 */
int tt_queue_packet_conn_incoming(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_carrier *c, struct tt_span packet,
                                  struct tt_slab *slab);

/* Whether tt_queue_packet_conn_outgoing may have something for c. O(1). */
bool tt_queue_packet_conn_wants_send(const struct tt_carrier *c);

/* The next packet for c (OutgoingQueue); as tt_endpoint_next_packet. */
int tt_queue_packet_conn_outgoing(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_carrier *c, struct tt_gather *g, uint32_t *len);

/* The next session that a client began: 0 or TT_E_AGAIN. */
int tt_queue_packet_conn_accept(struct tt_queue_packet_conn *q, struct tt_server_session **s);

/* The next session that may have something to send, or an error or events to report; NULL: none.
 * Call until NULL at the end of a turn, flush each, and then say so with
 * tt_queue_packet_conn_flushed.
 */
struct tt_server_session *tt_queue_packet_conn_next_dirty(struct tt_queue_packet_conn *q);

/* s was asked for packets until it had none, or until its carriers took none: its deadline holds.
 * A closed session may be freed here.
 */
void tt_queue_packet_conn_flushed(struct tt_queue_packet_conn *q, struct tt_server_session *s);

/* The application wrote, read or closed a stream of s. */
void tt_queue_packet_conn_touched(struct tt_queue_packet_conn *q, uint64_t now_us,
                                  struct tt_server_session *s);

/* The application is done with an accepted session. It may be freed at any time from now on. */
void tt_queue_packet_conn_close(struct tt_queue_packet_conn *q, uint64_t now_us,
                                struct tt_server_session *s);

/* Sealed: the list of welcome clients has changed: ends the sessions of those that are not on it
 * (M-18). They are told (CLOSE), on the carriers that they have: afterwards nothing would be
 * answered to them. When they have gone, or after a second, the application learns of it.
 */
void tt_queue_packet_conn_review_clients(struct tt_queue_packet_conn *q, uint64_t now_us);

/* Ends a closed session that waits for nothing, so that its place in the quota is free for another
 * one that shares it. false: there is none. The same happens by itself when a session begins here.
 */
bool tt_queue_packet_conn_make_room(struct tt_queue_packet_conn *q);

uint64_t tt_queue_packet_conn_deadline(const struct tt_queue_packet_conn *q);
void tt_queue_packet_conn_handle_timeout(struct tt_queue_packet_conn *q, uint64_t now_us);

#endif
