/* received.h - what has arrived on a stream and was not read yet.
 *
 * A queue of pieces that stay where the carrier read them. Bytes are copied, into slabs where they
 * lie close together, only when
 *   - they lie in memory that is soon read over (no slab, or a transient one),
 *   - the session's account is charged for far more than what its streams hold: little pieces would
 *     keep whole slabs alive,
 *   - or the stream holds many pieces and this is a small one: each costs 24 bytes of its own, and
 *     the receive buffer counts payload alone.
 *
 * Every byte here has one of the session's receive tokens (S-22).
 */
#ifndef TT_CORE_SMUX_RECEIVED_H
#define TT_CORE_SMUX_RECEIVED_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/ring.h"
#include "core/base/slab.h"

struct tt_smux;

struct tt_smux_received {
    struct tt_ring pieces; /* of struct tt_smux_piece */
    uint32_t first, count;
    size_t bytes;
    struct tt_slab *own; /* where this stream's small pieces are put together, or NULL */
};

/* Adds bytes at the end; *stored says how many. slab is the one that they lie in, or NULL.
 * Returns 0 (all) or TT_E_NOMEM.
 */
int tt_smux_received_add(struct tt_smux *m, struct tt_smux_received *r, struct tt_span bytes,
                         struct tt_slab *slab, size_t *stored);

/* Up to count spans of what is there, in order; returns how many. */
size_t tt_smux_received_peek(const struct tt_smux_received *r, struct tt_span *spans, size_t count);

/* Drops len bytes (at most r->bytes) from the front. */
void tt_smux_received_drop(struct tt_smux *m, struct tt_smux_received *r, size_t len);

/* Drops all and frees all; r may be used on. */
void tt_smux_received_clear(struct tt_smux *m, struct tt_smux_received *r);

/* Frees the memory for pieces, when there are none. */
void tt_smux_received_shrink(struct tt_smux *m, struct tt_smux_received *r);

#endif
