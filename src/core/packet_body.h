/* packet_body.h - one packet of known length out of a byte stream that comes in pieces; what both
 * encapsulations have in common.
 *
 * A packet that lies whole in the input is given out where it lies. One in pieces is put together
 * in memory of its own. That memory grows with what has really come, not with what the length
 * promises: at most TT_PACKET_BODY_FIRST bytes or twice of what was received, whichever is more,
 * and never more than the packet. Between packets nothing is held. One thread at a time per object.
 */
#ifndef TT_CORE_PACKET_BODY_H
#define TT_CORE_PACKET_BODY_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"

/* Packets of up to this many bytes, so all of the legacy protocol, are allocated at once. */
#define TT_PACKET_BODY_FIRST 2048

struct tt_packet_body {
    uint8_t *buf; /* owned; cap bytes, or NULL */
    size_t cap;
    size_t have;                  /* bytes of the packet in buf */
    const struct tt_alloc *alloc; /* borrowed; outlives b */
};

void tt_packet_body_init(struct tt_packet_body *b, const struct tt_alloc *alloc);

/* Gives the memory back, and with it the packet, whole or half. Safe on all zeroes, and twice. */
void tt_packet_body_release(struct tt_packet_body *b);

/* Takes from the front of *in what is missing of a packet of `want` bytes; the same `want` until
 * the packet is there, then tt_packet_body_release() before the next one.
 *
 *   packet  out: the packet, in *in or in b->buf. Valid until b is released or the end of in's
 *           memory, whichever is first.
 *
 * Returns 0           the packet
 *         TT_E_AGAIN  in is used up, the packet is not complete yet
 *         TT_E_NOMEM  (fatal) what is left in *in was not taken
 */
int tt_packet_body_take(struct tt_packet_body *b, size_t want, struct tt_span *in,
                        struct tt_span *packet);

#endif
