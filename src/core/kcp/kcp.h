/* kcp.h - one end of a KCP conversation (spec kcp.md, native.md sections 2 and 3).
 *
 * Sans-I/O and pull: packets that came go into tt_kcp_input, a carrier that can take a packet asks
 * tt_kcp_next_packet. Nothing is queued as a packet, nothing is flushed on a tick: acks and data
 * leave when the caller asks, which it does once at the end of each turn of its loop. The only
 * timers are the retransmission timeout of what is outstanding and the probe of a shut window.
 *
 * What differs from kcp-go, by design and invisible to it: no periodic flush; losses are found by
 * the order of transmission on a path, O(1) an ack, instead of counting each ack for each earlier
 * segment; the right edge of the peer's window is the highest ever seen; a `una` beyond what
 * was sent is ignored; the first window probe leaves after 0.5 s as in current kcp-go.
 *
 * One thread at a time. No function calls back.
 */
#ifndef TT_CORE_KCP_KCP_H
#define TT_CORE_KCP_KCP_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/base/slab.h"
#include "core/gather.h"
#include "core/kcp/path.h"
#include "core/kcp/receive.h"
#include "core/kcp/segment.h"
#include "core/kcp/send.h"

#define TT_KCP_DEFAULT_MTU 1400u
#define TT_KCP_UNLIMITED   UINT32_MAX

/* A segment must fit into a large slab. */
#define TT_KCP_MAX_MTU (TT_SLAB_LARGE_BYTES - (uint32_t)sizeof(struct tt_slab) + TT_KCP_HEADER)

struct tt_kcp_config {
    uint32_t conv;
    uint32_t mtu;           /* a segment with its header, 25..TT_KCP_MAX_MTU; fixed */
    bool stream;            /* stream mode; always on in a session */
    bool nodelay;           /* least timeout 30 ms instead of 100 ms, faster backoff */
    uint32_t interval_ms;   /* how late the peer's acks may be; clamped to 10..5000 (K-37) */
    uint32_t resend;        /* lost once so many later ones overtook it; 0: off */
    bool nocwnd;            /* no congestion window */
    uint32_t snd_wnd;       /* most segments in flight */
    uint32_t rcv_wnd_first; /* receive window at the start, segments; it grows ... */
    uint32_t rcv_wnd;       /* ... up to this, at most 65535 (K-47) */
    struct tt_slab_pool *slabs;
    struct tt_slab_account *account; /* charged for what received segments hold */
    const struct tt_alloc *alloc;
};

/* What is rare is counted in 32 bits, here and in the rest of a session: there may be very many. */
struct tt_kcp_stats {
    uint64_t packets_in, segments_in;
    uint64_t packets_out, segments_out; /* segments of every kind */
    uint32_t short_packets;             /* under 24 bytes (K-8) */
    uint32_t wrong_conv;                /* packets that stopped there (K-9) */
    uint32_t wrong_len;                 /* (K-10), or longer than any slab */
    uint32_t wrong_cmd;                 /* (K-11) */
    uint32_t wins_in;                   /* answers to window probes */
    uint32_t wrong_una;                 /* headers that acknowledged what was never sent */
};

struct tt_kcp {
    struct tt_kcp_send send;
    struct tt_kcp_receive receive;
    struct tt_kcp_stats stats;
    uint64_t probe_at_us;   /* next WASK, or TT_NEVER */
    uint64_t probe_wait_us; /* 0: not probing */
    uint32_t conv;
    uint32_t heard_una; /* una of the last header that came */
    uint32_t heard_ts;  /* ts of the last PUSH that came: the peer's clock */
    bool ask;           /* a WASK is due */
    bool tell;          /* a WINS is due */
};

/* What tt_kcp_init would refuse: TT_E_INVAL. */
int tt_kcp_init(struct tt_kcp *k, const struct tt_kcp_config *config);

/* Safe on all zeroes, and twice. Paths must have been closed. */
void tt_kcp_dispose(struct tt_kcp *k);

/* --- sending --- */

/* Queues bytes that lie in slab; the reference moves here, also on error. Stream mode.
 * Returns 0 or TT_E_NOMEM.
 */
int tt_kcp_send_bytes(struct tt_kcp *k, const uint8_t *data, uint32_t len, struct tt_slab *slab);

/* Queues a copy of a message: in message mode a message keeps its boundaries, of up to 255
 * segments. Returns 0, TT_E_INVAL (empty, or too long: K-7, section 4), or TT_E_NOMEM.
 */
int tt_kcp_send_message(struct tt_kcp *k, struct tt_span message);

/* How many more segments of new data could be numbered and sent now on the path. */
uint32_t tt_kcp_appetite(const struct tt_kcp *k, const struct tt_kcp_path *path);

/* Builds the next packet for the path: acks first, then probes, then what is lost, then what is
 * new.
 *
 *   max_packet  most bytes of the packet
 *   g           out: where it is gathered; payload stays in its slabs
 *   len         out: its length
 *
 * Returns 0; TT_E_AGAIN: nothing to send; TT_E_FULL: the gather has no room for more.
 * Whoever takes a packet must send it or close the path.
 */
int tt_kcp_next_packet(struct tt_kcp *k, uint64_t now_us, struct tt_kcp_path *path,
                       uint32_t max_packet, struct tt_gather *g, uint32_t *len);

/* Whether tt_kcp_next_packet has something for the path. O(1). */
bool tt_kcp_wants_send(const struct tt_kcp *k, const struct tt_kcp_path *path);

/* Whether nothing is queued, in flight or waiting to be sent again. */
bool tt_kcp_all_acked(const struct tt_kcp *k);

/* --- receiving --- */

/* Takes one packet. Its bytes lie in slab (or NULL), and are kept by reference until they are taken
 * with tt_kcp_peek/take; after that call tt_kcp_settle.
 * Returns 0, or TT_E_PROTO: the packet was wrong somewhere; what stood before that counts, the rest
 * was dropped and counted. The session goes on.
 */
int tt_kcp_input(struct tt_kcp *k, uint64_t now_us, struct tt_span packet, struct tt_slab *slab);

/* The in-order bytes that come next, segment by segment, and the slab they lie in.
 * Returns 0 or TT_E_AGAIN.
 */
int tt_kcp_peek(const struct tt_kcp *k, struct tt_span *data, struct tt_slab **slab);

/* The peeked segment is done with. Its slab reference is dropped. */
void tt_kcp_take(struct tt_kcp *k);

/* Copies what was left of the last packet; 0 or TT_E_NOMEM (recoverable: dropped as if lost). */
int tt_kcp_settle(struct tt_kcp *k);

/* Message mode (K-24): size of the next whole message, or TT_E_AGAIN ... */
int tt_kcp_peek_message(const struct tt_kcp *k, size_t *size);

/* ... and the message. TT_E_AGAIN: none is complete; TT_E_INVAL: cap is too small, nothing is lost.
 */
int tt_kcp_receive_message(struct tt_kcp *k, void *buf, size_t cap, size_t *len);

/* --- carriers --- */

/* A carrier may send from now on. ordered: it keeps the order of packets. allowance: most segments
 * in flight on it before acks come, or TT_KCP_UNLIMITED. What R-13 asks for becomes due if the
 * conversation had begun: una, window and an ACK for each segment held out of order, up to `acks`.
 */
void tt_kcp_path_open(struct tt_kcp *k, struct tt_kcp_path *path, uint64_t now_us, bool ordered,
                      uint32_t allowance, uint32_t acks);

/* The carrier is gone; all that was last sent on it is sent again at once, on any other. */
void tt_kcp_path_close(struct tt_kcp *k, struct tt_kcp_path *path);

/* What flew on the path is sent again at once, on any path; it may still be used. */
void tt_kcp_path_give_up(struct tt_kcp *k, struct tt_kcp_path *path);

/* From now on the peer is known to discard nothing that this path delivers: if it keeps the order,
 * nothing is sent again but what flew when it died or was given up, and what
 * tt_kcp_path_discarded names. Its allowance becomes at least that.
 */
void tt_kcp_path_trust(struct tt_kcp_path *path, uint32_t allowance);

/* What left before transmission `tx` (path->next_tx at that time) is known to have been delivered:
 * what of it still flies was discarded by the peer, and is sent again.
 */
void tt_kcp_path_discarded(struct tt_kcp *k, struct tt_kcp_path *path, uint32_t tx);

/* A round-trip time that was measured otherwise than by an ack. */
void tt_kcp_path_sample(struct tt_kcp *k, struct tt_kcp_path *path, uint64_t sample_us);

/* Acks may have been lost with a path: una, window and an ACK for each segment held out of order,
 * the oldest `most`, are due again.
 */
void tt_kcp_repeat_acks(struct tt_kcp *k, uint32_t most);

/* A WASK is due: a peer that lives answers with its window. */
void tt_kcp_ask_window(struct tt_kcp *k);

/* --- time --- */

/* When tt_kcp_handle_timeout must be called, TT_NEVER, or 0: at once. After that call it lies in
 * the future.
 */
uint64_t tt_kcp_deadline(const struct tt_kcp *k);
void tt_kcp_handle_timeout(struct tt_kcp *k, uint64_t now_us);

/* Frees what an idle conversation does not need. */
void tt_kcp_shrink(struct tt_kcp *k);

#endif
