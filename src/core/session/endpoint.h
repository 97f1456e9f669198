/* endpoint.h - one end of a session: KCP, smux, and the carriers under them. Sans-I/O.
 *
 * Whoever drives it has one loop: hand in what came, handle the deadline when it is due, take
 * packets out for each carrier that can take some until TT_E_AGAIN, ask for the deadline, sleep.
 *
 * The session outlives its carriers: open and close them at will. One thread at a time; no function
 * calls back. Streams are used with the functions of smux.h on tt_endpoint.smux, plus
 * tt_endpoint_touched() afterwards (reading opens windows).
 */
#ifndef TT_CORE_SESSION_ENDPOINT_H
#define TT_CORE_SESSION_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>
#include <turbotunnel/error.h>

#include "core/base/list.h"
#include "core/base/random.h"
#include "core/gather.h"
#include "core/kcp/kcp.h"
#include "core/session/budget.h"
#include "core/session/carrier.h"
#include "core/session_id.h"
#include "core/smux/smux.h"

/* What a session is made with. tt_endpoint_tuning_default() fills it in. */
struct tt_endpoint_tuning {
    uint32_t mtu;
    bool nodelay;
    uint32_t interval_ms;
    uint32_t resend;
    bool nocwnd;
    uint32_t snd_wnd, rcv_wnd_first, rcv_wnd; /* segments */
    uint32_t max_frame;
    uint32_t max_receive_buffer, max_stream_buffer, max_send_buffer; /* bytes */
    uint32_t accept_backlog, max_streams;
    uint64_t keepalive_interval_us;
    uint64_t session_timeout_us; /* client: nothing received for so long: the session is lost */
    uint32_t redial_allowance;   /* most segments at once on a carrier that follows another */
    bool legacy;                 /* never send a control packet, nor understand one */
    uint32_t carriers;           /* client: how many are to be in use at once */
    uint32_t standby;            /* client: and how many spare */
    uint32_t max_carriers;       /* more at once are not kept: the oldest goes */
    uint64_t liveness_floor_us;  /* an answer is given so long at least ... */
    uint64_t liveness_ceiling_us; /* ... and at most */
    uint64_t ping_idle_us;        /* R-24; 0: never */
    uint64_t carrier_max_bytes;   /* client: of one carrier, in each direction; 0: no limit ... */
    uint64_t carrier_max_age_us;  /* ... how long it is used ... */
    uint64_t carrier_idle_us; /* ... and how long without a packet. Up to 10 % less, by chance */
    bool learn_limits;        /* client: R-26 */
};

void tt_endpoint_tuning_default(struct tt_endpoint_tuning *t);

struct tt_endpoint_config {
    const struct tt_endpoint_tuning
        *tuning; /* borrowed; outlives the endpoint; many may share it */
    struct tt_session_id id;
    uint32_t conv; /* client: random; server: from the first packet */
    bool client;
    uint8_t smux_version;    /* client: 1 or 2; server: 0, it takes what comes */
    const uint8_t *hash_key; /* TT_SIPHASH_KEY random bytes, borrowed as tuning is */
    struct tt_slab_pool *slabs;
    const struct tt_alloc *alloc;
    struct tt_seal *seal; /* NULL: a plain session; else the endpoint's from now on, also when it
                             cannot be made */
};

#define TT_GONE_REMEMBERED 8u /* */

struct tt_endpoint_stats {
    uint32_t control_in, control_out; /* control packets */
    uint32_t pings_sent, stray_pongs;
    uint32_t suspicions, taken_back; /* carriers that owed an answer; that gave it after all */
    uint32_t drained;                /* carriers that were too many */
    uint32_t carriers_full;          /* carriers that went for max_carriers */
};

struct tt_endpoint {
    struct tt_endpoint_config config;
    struct tt_seal *seal; /* owned; NULL: a plain session (sealed.h) */
    struct tt_kcp kcp;
    struct tt_smux smux;
    struct tt_slab_account account; /* received slabs that this session keeps alive */
    struct tt_list carriers;        /* the newest last; all but UNBOUND and GONE ones */
    uint32_t carrier_count;
    uint32_t doomed; /* of them */
    uint32_t next_carrier;
    enum tt_carrier_rank best_rank;    /* of all carriers */
    struct tt_carrier *best_last;      /* of rank LAST, the one to use when there is no better */
    struct tt_carrier *data_carrier;   /* that last brought data, or NULL */
    uint32_t unproven_in_a_row;        /* carriers that went without ever bringing anything */
    uint32_t longest_received;         /* packet, on any carrier, framing included */
    uint64_t rtt_us;                   /* of the carrier that was measured last; 0: none yet */
    uint64_t tokens;                   /* PINGs so far */
    uint32_t gone[TT_GONE_REMEMBERED]; /* numbers of the carriers that went last */
    uint32_t gone_count;               /* all that ever went ... */
    uint32_t gone_known;               /* ... and those that the peer knows of */
    struct tt_budget *budget;          /* client: what was learned about carriers that died */
    struct tt_endpoint_stats stats;
    uint64_t heard_us;         /* when anything last came */
    uint64_t retry_us;         /* memory was refused: when to try again, or TT_NEVER */
    struct tt_smux_piece held; /* a frame that KCP had no memory for yet; len 0: none */
    size_t drain_offset;       /* bytes of the first segment in order that smux has taken already */
    uint32_t allowance; /* what the next carrier begins with; redial_allowance or less */
    int error;          /* 0, or the fatal error that ended the session */
    bool native;        /* the peer has ever sent a HELLO */
    bool closing;       /* the application is done; see tt_endpoint_close */
    bool aborting;      /* and has waited long enough */
    bool close_told;    /* CLOSE has left on a carrier */
};

/* Returns 0, TT_E_INVAL or TT_E_NOMEM; after an error there is nothing to dispose of. */
int tt_endpoint_init(struct tt_endpoint *e, const struct tt_endpoint_config *config,
                     uint64_t now_us);

/* Carriers that are still there become GONE. Safe on all zeroes, and twice. */
void tt_endpoint_dispose(struct tt_endpoint *e);

/* Client: what one of its carriers reached at most, those that are there included. */
void tt_endpoint_most_reached(const struct tt_endpoint *e, uint64_t now_us,
                              uint64_t most[TT_BUDGET_KINDS]);

/* --- carriers --- */

/* c is the caller's memory, all zeroes or a GONE one; it must stay until it is closed. From now on
 * it may be asked for packets. On a session that never brought a HELLO a new carrier replaces the
 * older ones: nobody has two on purpose there.
 */
void tt_endpoint_carrier_open(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                              const struct tt_carrier_limits *limits);

/* The same for a carrier that is older than `newer`, a carrier of e (R-19: it counts from when its
 * ID was complete, though its first packet comes only now). It is read, but fed nothing while a
 * newer one is left.
 */
void tt_endpoint_carrier_open_behind(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                                     const struct tt_carrier_limits *limits,
                                     struct tt_carrier *newer);

/* The connection is gone. What was last sent on it and is not acknowledged is sent again at once.
 */
void tt_endpoint_carrier_close(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c);

/* The next carrier that its owner is to close, with tt_endpoint_carrier_close and the connection;
 * NULL: none. To be asked after receiving, after sending and after a timeout.
 */
struct tt_carrier *tt_endpoint_next_doomed(const struct tt_endpoint *e);

/* The connection takes no more for now, or does so again: acks may leave elsewhere meanwhile, and
 * one that stays so answers nothing.
 */
void tt_endpoint_carrier_blocked(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                                 bool blocked);

/* Client: the ID that a new connection is to say first, just before its carrier is opened. Of a
 * sealed session it is another each time until the server has confirmed one. 0 or TT_E_SYSTEM.
 */
int tt_endpoint_dial_id(struct tt_endpoint *e, struct tt_session_id *id);

/* How many carriers a client wants to have, and whether it should dial one now. */
uint32_t tt_endpoint_wanted_carriers(const struct tt_endpoint *e);
bool tt_endpoint_wants_carrier(const struct tt_endpoint *e);

/* The network has changed: no carrier is trusted until it has answered, and what was learned
 * about limits is forgotten.
 */
void tt_endpoint_network_changed(struct tt_endpoint *e, uint64_t now_us);

/* Whether a new byte was delivered or acknowledged since the carrier opened. */
bool tt_carrier_progressed(const struct tt_carrier *c);

/* A packet came on c. Its bytes lie in slab: see tt_kcp_input; those of a sealed one are
 * overwritten. What makes no sense is counted and dropped. Returns 0 or the fatal error that ended
 * the session.
 */
int tt_endpoint_receive(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                        struct tt_span packet, struct tt_slab *slab);

/* Server: the first sealed packet of a carrier was opened before it was this session's; plain is
 * what stood in it.
 */
int tt_endpoint_receive_opened(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                               struct tt_span plain, struct tt_slab *slab);

/* The next packet for c, gathered into g. Returns 0; TT_E_AGAIN: nothing to send on it now;
 * TT_E_FULL: the gather is full, write it first; or the fatal error. Whoever takes a packet sends
 * it, or closes the carrier.
 */
int tt_endpoint_next_packet(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                            struct tt_gather *g, uint32_t *len);

/* Whether tt_endpoint_next_packet may have something for c. O(1). */
bool tt_endpoint_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c);

/* Whether acknowledgements are all that any carrier may have to send: they can wait a little for
 * data to leave with. O(carriers).
 */
bool tt_endpoint_owes_acks_alone(const struct tt_endpoint *e);

/* --- time --- */

uint64_t tt_endpoint_deadline(const struct tt_endpoint *e);

/* Does what is due. Returns 0 or the fatal error that ended the session (TT_E_TIMEOUT). */
int tt_endpoint_handle_timeout(struct tt_endpoint *e, uint64_t now_us);

/* Frees what a session that rests does not need. For who finds that it may: the keepalive comes or
 * leaves, or the last carrier has gone.
 */
void tt_endpoint_shrink(struct tt_endpoint *e);

/* --- the application's side --- */

/* The application read from streams: data that waited below may move up. Returns 0 or a fatal
 * error. */
int tt_endpoint_touched(struct tt_endpoint *e, uint64_t now_us);

/* The application is done: all its streams are closed, what is unsent is still sent. Afterwards the
 * session only gets its data acknowledged; its end is the driver's to choose (tt_endpoint_settled,
 * linger).
 */
void tt_endpoint_close(struct tt_endpoint *e);

/* Whether everything that was written, the FINs included, is acknowledged. */
bool tt_endpoint_settled(const struct tt_endpoint *e);

/* Whether all data that was written is acknowledged; ends of streams may not be. */
bool tt_endpoint_data_arrived(const struct tt_endpoint *e);

/* After tt_endpoint_close: the same, and a native peer has been told that the session is over, on
 * each carrier.
 */
bool tt_endpoint_is_over(const struct tt_endpoint *e);

/* Instead of waiting for the above any longer: the peer is told at once, what is not acknowledged
 * is lost. To be flushed once more.
 */
void tt_endpoint_abort(struct tt_endpoint *e);

/* Whether the peer has ever sent a smux frame. One that acknowledges packets but sends none may not
 * speak our version.
 */
static inline bool tt_endpoint_peer_spoke(const struct tt_endpoint *e)
{
    return e->smux.stats.frames_in > 0;
}

#endif
