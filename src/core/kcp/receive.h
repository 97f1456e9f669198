/* receive.h - the receiving half of KCP: putting segments in order, and owing acknowledgements.
 *
 *      read            nxt                     edge
 *       |  in order,    |  out of order, holes   |  what was advertised
 *       |  not taken    |                        |
 *
 * The edge never moves left, and memory is bounded by it: a segment at or beyond it is
 * dropped without an ack (K-14). The window starts small and grows with what has been delivered, up
 * to the configured size, so that a stranger cannot make us hold more than a multiple of what he
 * sent.
 */
#ifndef TT_CORE_KCP_RECEIVE_H
#define TT_CORE_KCP_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/base/ring.h"
#include "core/base/seq.h"
#include "core/base/slab.h"

struct tt_kcp_in {
    const uint8_t *data;
    struct tt_slab *slab; /* one reference */
    uint32_t ts;          /* to be echoed */
    uint16_t len;
    uint8_t frg;
    bool held;
    bool borrowed; /* slab is the packet's own, not memory that we keep */
};

/* An acknowledgement that is owed. */
struct tt_kcp_owed {
    uint32_t sn;
    uint32_t ts;
    bool again; /* it was sent before, on a carrier that may have lost it: ts is an old time */
};

struct tt_kcp_receive {
    const struct tt_alloc *alloc;
    struct tt_slab_pool *slabs;
    struct tt_slab_account *account; /* charged for received slabs that are kept */
    struct tt_ring ring;             /* of struct tt_kcp_in */
    uint32_t read;
    uint32_t nxt;
    uint32_t settled;             /* in-order segments before it lie in memory of our own */
    uint32_t top;                 /* behind the highest number held */
    uint32_t edge;                /* highest read + window advertised, or about to be */
    uint32_t told_edge;           /* what the last header said */
    uint32_t window;              /* segments, now */
    uint32_t window_max;          /* segments, configured */
    uint32_t held_ahead;          /* out of order */
    uint32_t again_sn, again_end; /* for what is held there an ack is repeated, ... */
    uint32_t again_left;          /* ... for so many of them at most */
    struct tt_kcp_owed last; /* the last PUSH that came, when it is in order or was there already */
    bool last_owed;
    uint64_t brought;        /* segments that were new when they came */
    uint64_t delivered;      /* segments ever put in order */
    uint64_t taken_bytes;    /* of segments that were taken */
    struct tt_slab *compact; /* out-of-order segments are copied here */
    struct tt_ring acks;     /* of struct tt_kcp_owed, for what came out of order */
    uint32_t ack_first, ack_count;
    uint32_t duplicates;
    uint32_t beyond_window;
    uint32_t no_memory;    /* dropped as if lost */
    uint32_t acks_dropped; /* more were owed at once than the window has segments */
};

static inline struct tt_kcp_in *tt_kcp_receive_at(const struct tt_kcp_receive *r, uint32_t sn)
{
    return tt_ring_at(&r->ring, sizeof(struct tt_kcp_in), sn);
}

void tt_kcp_receive_init(struct tt_kcp_receive *r, uint32_t window_first, uint32_t window_max);
void tt_kcp_receive_dispose(struct tt_kcp_receive *r);

/* Takes a PUSH. data lies in slab (NULL: it is copied). In-order data is kept by reference until
 * the caller has taken it, or settles.
 */
void tt_kcp_receive_push(struct tt_kcp_receive *r, uint32_t sn, uint32_t ts, uint8_t frg,
                         struct tt_span data, struct tt_slab *slab);

/* In-order data: the first segment not taken, or NULL; and: it is taken (its slab reference moves
 * to the caller). */
const struct tt_kcp_in *tt_kcp_receive_peek(const struct tt_kcp_receive *r);
struct tt_slab *tt_kcp_receive_take(struct tt_kcp_receive *r);

/* The packet is over, its slab may be read over or be kept for few bytes: what was not taken is
 * copied. Returns 0 or TT_E_NOMEM: what could not be kept was forgotten as if it had never come,
 * and since no header has left meanwhile, the peer will send it again. What lies in our own memory
 * already may have been acknowledged long ago: it is never forgotten.
 */
int tt_kcp_receive_settle(struct tt_kcp_receive *r);

/* The window field of a header that leaves now. */
uint16_t tt_kcp_receive_wnd(struct tt_kcp_receive *r);

/* Whether the peer should be told of room it cannot know of (K-18). */
bool tt_kcp_receive_must_tell(const struct tt_kcp_receive *r);

/* The next ack that is owed; false: none. Acks of what una covers by now are left out, but for the
 * last one, which gives the peer its round-trip time (K-22, K-23).
 */
bool tt_kcp_receive_next_ack(struct tt_kcp_receive *r, struct tt_kcp_owed *owed);
bool tt_kcp_receive_owes_ack(const struct tt_kcp_receive *r);

/* acks may have died with a carrier; owes one again for all that is held out of order, the
 * oldest `most` of them. What was left of an earlier repetition is part of this one.
 */
void tt_kcp_receive_owe_all(struct tt_kcp_receive *r, uint32_t most);

/* Frees the ring's memory when nothing is held. */
void tt_kcp_receive_shrink(struct tt_kcp_receive *r);

#endif
