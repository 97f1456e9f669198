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
    uint64_t session_timeout_us; /* nothing received for so long: the session is lost */
    uint32_t redial_allowance;   /* most segments at once on a carrier that follows another */
};

void tt_endpoint_tuning_default(struct tt_endpoint_tuning *t);

struct tt_endpoint_config {
    struct tt_endpoint_tuning tuning;
    bool client;
    struct tt_session_id id;
    uint32_t conv;        /* client: random; server: from the first packet */
    uint8_t smux_version; /* client: 1 or 2; server: 0, it takes what comes */
    uint8_t hash_key[16];
    struct tt_slab_pool *slabs;
    const struct tt_alloc *alloc;
};

struct tt_endpoint {
    struct tt_endpoint_config config;
    struct tt_kcp kcp;
    struct tt_smux smux;
    struct tt_slab_account account; /* received slabs that this session keeps alive */
    struct tt_list carriers;        /* the newest last; all but UNBOUND and GONE ones */
    uint32_t next_carrier;
    uint32_t allowance; /* what the next carrier begins with; redial_allowance or less */
    uint64_t heard_us;  /* when anything last came */
    uint64_t retry_us;  /* memory was refused: when to try again, or TT_NEVER */
    struct tt_smux_piece held; /* a frame that KCP had no memory for yet; len 0: none */
    size_t drain_offset;       /* bytes of the first segment in order that smux has taken already */
    int error;                 /* 0, or the fatal error that ended the session */
    bool closing;              /* the application is done; see tt_endpoint_close */
    uint64_t control_packets; /* packets of under 12 bytes: reserved for native sessions, dropped */
};

/* Returns 0, TT_E_INVAL or TT_E_NOMEM; after an error there is nothing to dispose of. */
int tt_endpoint_init(struct tt_endpoint *e, const struct tt_endpoint_config *config,
                     uint64_t now_us);

/* Carriers that are still there become GONE. Safe on all zeroes, and twice. */
void tt_endpoint_dispose(struct tt_endpoint *e);

/* --- carriers --- */

/* c is the caller's memory, all zeroes or a GONE one; it must stay until it is closed. From now on
 * it may be asked for packets. A new carrier replaces the older ones: on a legacy session
 * nobody has two on purpose.
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

/* Whether a new byte was delivered or acknowledged since the carrier opened. */
bool tt_carrier_progressed(const struct tt_carrier *c);

/* A packet came on c. Its bytes lie in slab: see tt_kcp_input. What makes no sense is counted and
 * dropped. Returns 0 or the fatal error that ended the session.
 */
int tt_endpoint_receive(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                        struct tt_span packet, struct tt_slab *slab);

/* The next packet for c, gathered into g. Returns 0; TT_E_AGAIN: nothing to send on it now;
 * TT_E_FULL: the gather is full, write it first; or the fatal error. Whoever takes a packet sends
 * it, or closes the carrier.
 */
int tt_endpoint_next_packet(struct tt_endpoint *e, uint64_t now_us, struct tt_carrier *c,
                            struct tt_gather *g, uint32_t *len);

/* Whether tt_endpoint_next_packet may have something for c. O(1). */
bool tt_endpoint_wants_send(const struct tt_endpoint *e, const struct tt_carrier *c);

/* --- time --- */

uint64_t tt_endpoint_deadline(const struct tt_endpoint *e);

/* Does what is due. Returns 0 or the fatal error that ended the session (TT_E_TIMEOUT). */
int tt_endpoint_handle_timeout(struct tt_endpoint *e, uint64_t now_us);

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

/* Whether the peer has ever sent a smux frame. One that acknowledges packets but sends none may not
 * speak our version.
 */
static inline bool tt_endpoint_peer_spoke(const struct tt_endpoint *e)
{
    return e->smux.stats.frames_in > 0;
}

#endif
