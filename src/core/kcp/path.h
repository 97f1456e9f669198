/* path.h - what KCP remembers of one carrier: what was last sent on it, and how long answers take.
 *
 * Segments are kept in the order in which they left on the path. That order, not the sequence
 * numbers, says what is lost: reordering between two paths is no loss, and a segment sent again
 * stands behind those sent before it.
 */
#ifndef TT_CORE_KCP_PATH_H
#define TT_CORE_KCP_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/list.h"
#include "core/kcp/rtt.h"

/* A list of outgoing segments, linked by sequence number through the send ring. */
struct tt_kcp_queue {
    uint32_t head; /* meaningless when count is 0 */
    uint32_t tail;
    uint32_t count;
};

struct tt_kcp_path {
    struct tt_list_node node;   /* in tt_kcp_send.paths */
    struct tt_kcp_queue flying; /* last sent here, unacknowledged; oldest transmission first */
    uint32_t next_tx;           /* number of the next transmission on this path */
    uint32_t acked_tx;  /* the latest transmission known to have arrived; next_tx - 1 at most */
    uint32_t allowance; /* most segments that may fly on it; grows as acks come */
    uint32_t backoff;   /* timeouts in a row */
    bool any_acked;     /* acked_tx has a meaning */
    bool ordered;       /* the carrier keeps the order: a hole is a loss, not a delay */
    bool elsewhere;     /* acks may come by other ways: the order in which they come says nothing */
    bool reliable;      /* and the peer discards nothing: no timer, no guess by the order */
    bool leaves_acks;   /* acks are to leave on another path */
    struct tt_rtt rtt;
    uint64_t flying_bytes;
    uint64_t max_flying_bytes; /* most that may fly */
    uint64_t progress_us;   /* when something sent here was last acknowledged, or the path opened */
    uint64_t arrivals;      /* segments sent here and acknowledged while they counted as here */
    uint64_t arrived_bytes; /* of those */
};

#endif
