/* send.h - the sending half of KCP: segments waiting, flying, lost and acknowledged.
 *
 * One ring holds everything from the oldest unacknowledged segment to the last one queued:
 *
 *      una              nxt            end
 *       |  numbered      |  not yet     |
 *       |  and sent      |  numbered    |
 *
 * A segment's bytes are one contiguous span in a slab; they are not copied when sent.
 * Every step is O(1) a segment: no walk over the window but when a path dies.
 */
#ifndef TT_CORE_KCP_SEND_H
#define TT_CORE_KCP_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/list.h"
#include "core/base/ring.h"
#include "core/base/seq.h"
#include "core/base/slab.h"
#include "core/kcp/cwnd.h"
#include "core/kcp/path.h"

/*   QUEUED -> FLYING -> ACKED (a single ack; removed when una passes it)
 *               |  ^
 *               v  |
 *              LOST     in the resend queue, on no path
 */
enum tt_kcp_out_state { TT_KCP_QUEUED, TT_KCP_FLYING, TT_KCP_LOST, TT_KCP_ACKED };

/* Why a segment is sent again. */
enum tt_kcp_cause {
    TT_KCP_TIMEOUT,
    TT_KCP_FAST,
    TT_KCP_PATH_DIED,
    TT_KCP_PATH_LEFT, /* given up for a better one */
    TT_KCP_DISCARDED, /* the peer had it and threw it away */
    TT_KCP_CAUSES
};

struct tt_kcp_out {
    const uint8_t *data;
    struct tt_slab *slab;     /* one reference */
    struct tt_kcp_path *path; /* where it was last sent, while FLYING */
    uint64_t sent_us;         /* last transmission */
    uint32_t ts;              /* the same in the header's milliseconds */
    uint32_t tx;              /* its number on the path */
    uint32_t prev, next;      /* in path->flying or the resend queue */
    uint16_t len;
    uint8_t frg;
    uint8_t state;
    bool sent_before; /* at least once */
    bool sent_again;  /* more than once: una alone does not say which copy arrived */
    bool same_ts; /* an earlier copy left in the same millisecond: an ack's ts does not either */
};

struct tt_kcp_send {
    const struct tt_alloc *alloc;
    struct tt_slab_pool *slabs;
    struct tt_ring ring; /* of struct tt_kcp_out, by sequence number */
    uint32_t una;        /* oldest unacknowledged */
    uint32_t nxt;        /* next number to give out */
    uint32_t end;        /* behind the last one queued */
    uint32_t edge;       /* right edge of the peer's window: nxt stays at or below it */
    uint32_t window;     /* own limit on segments in flight */
    uint32_t mss;
    uint32_t resend; /* fast retransmission after so many later transmissions; 0: off */
    bool nodelay;
    bool stream;              /* join what is queued (K-5) */
    struct tt_kcp_queue lost; /* to be sent again, in order */
    struct tt_list paths;
    struct tt_kcp_cwnd cwnd;
    struct tt_rtt_config rtt_config;
    uint64_t queued_bytes; /* all that was ever queued */
    uint64_t acked_bytes;  /* all that una ever passed */
    uint64_t transmissions;
    uint32_t retransmissions[TT_KCP_CAUSES];
};

static inline struct tt_kcp_out *tt_kcp_send_at(const struct tt_kcp_send *s, uint32_t sn)
{
    return tt_ring_at(&s->ring, sizeof(struct tt_kcp_out), sn);
}

/* Drops all references and frees the ring. */
void tt_kcp_send_dispose(struct tt_kcp_send *s);

/* Queues bytes that lie in slab, whose reference moves here (also on error). Cuts them into
 * segments; in stream mode small ones are joined to the last one that has no number yet.
 * frg counts down to 0 in message mode. Returns 0 or TT_E_NOMEM (nothing was queued).
 */
int tt_kcp_send_push(struct tt_kcp_send *s, const uint8_t *data, uint32_t len,
                     struct tt_slab *slab);

/* How many more segments may get a number now, by every window. */
uint32_t tt_kcp_send_room(const struct tt_kcp_send *s);

/* Whether take() on this path would give a segment. */
bool tt_kcp_send_ready(const struct tt_kcp_send *s, const struct tt_kcp_path *path);

/* The next segment to leave on the path, lost ones first; NULL: none. The caller looks at its
 * length, and then either sends it and calls sent(), or leaves it.
 */
struct tt_kcp_out *tt_kcp_send_peek(struct tt_kcp_send *s, const struct tt_kcp_path *path,
                                    uint32_t *sn);

/* The peeked segment was taken by the path's carrier. */
void tt_kcp_send_sent(struct tt_kcp_send *s, struct tt_kcp_path *path, struct tt_kcp_out *out,
                      uint32_t sn, uint64_t now_us);

/* A header of the peer said una and wnd. Returns whether una moved. */
bool tt_kcp_send_una(struct tt_kcp_send *s, uint32_t una, uint16_t wnd, uint64_t now_us);

/* An ACK for one segment; ts as it came back. Both are called before una of the same header is
 * applied. sample: a round-trip sample belongs to *path when true is returned.
 */
bool tt_kcp_send_sample(const struct tt_kcp_send *s, uint32_t sn, uint32_t ts, uint64_t now_us,
                        struct tt_kcp_path **path, uint64_t *sample_us);
void tt_kcp_send_ack(struct tt_kcp_send *s, uint32_t sn, uint32_t ts, uint64_t now_us);

/* All headers of a packet are applied: what was overtaken on its path is lost. */
void tt_kcp_send_detect_losses(struct tt_kcp_send *s);

/* Paths come and go. open: allowance is the number of segments that may fly before the first ack
 * (UINT32_MAX: any). close: what flew on it is lost, oldest first.
 */
void tt_kcp_send_path_open(struct tt_kcp_send *s, struct tt_kcp_path *path, uint64_t now_us,
                           bool ordered, uint32_t allowance);
void tt_kcp_send_path_close(struct tt_kcp_send *s, struct tt_kcp_path *path);

/* What flies on the path is lost, as if it had been closed; it may send on. */
void tt_kcp_send_path_give_up(struct tt_kcp_send *s, struct tt_kcp_path *path);

/* What left on the path before transmission tx and still flies was thrown away by the peer.
 */
void tt_kcp_send_path_discarded(struct tt_kcp_send *s, struct tt_kcp_path *path, uint32_t tx);

/* The next retransmission timeout, or TT_NEVER; and doing what is due. */
uint64_t tt_kcp_send_deadline(const struct tt_kcp_send *s);
void tt_kcp_send_handle_timeout(struct tt_kcp_send *s, uint64_t now_us);

/* Frees the ring's memory when nothing is queued or in flight. */
void tt_kcp_send_shrink(struct tt_kcp_send *s);

#endif
