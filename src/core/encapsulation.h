/* encapsulation.h - packets inside a carrier's byte stream.
 *
 * On the wire a packet is a u16 length in network byte order, then that many bytes, in both
 * directions (T-2). Length 0 is a packet too: an empty one (T-5).
 *
 * Sans-I/O: no sockets, no clock. Memory is held only while a packet lies in pieces, so an idle
 * carrier holds none. One thread at a time per object.
 */
#ifndef TT_CORE_ENCAPSULATION_H
#define TT_CORE_ENCAPSULATION_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/packet_body.h"

/* Bytes in front of a packet, and the longest packet that they can announce. */
#define TT_ENCAP_HEADER     2
#define TT_ENCAP_MAX_PACKET 65535

/* Writes what goes before a packet of len bytes. */
static inline void tt_encap_header(uint8_t out[TT_ENCAP_HEADER], uint16_t len)
{
    tt_put_be16(out, len);
}

/* The receiving side of one carrier. A new carrier gets a new one: half a packet dies with its
 * carrier, and KCP sends it again (T-6).
 */
struct tt_decap {
    struct tt_packet_body body; /* the current packet, or the one given out last */
    uint32_t max_packet;
    uint32_t keep; /* bytes of a packet that are given out */
    uint32_t skip; /* bytes still to come of one that was cut */
    uint8_t header[TT_ENCAP_HEADER];
    uint8_t header_left; /* bytes of it still to come */
};

/* Returns 0 or TT_E_INVAL: max_packet is not in 1..65535; there is nothing to dispose of then.
 * Allocates nothing.
 */
int tt_decap_init(struct tt_decap *d, size_t max_packet, const struct tt_alloc *alloc);

/* Of packets longer than `bytes` (1..65535) only so much is given out from now on; the rest is
 * passed over. The length field may announce 65,535 bytes, and a session never uses more than its
 * packet size: what is beyond need not be held for anybody. Call it before tt_decap_next.
 */
void tt_decap_cut(struct tt_decap *d, uint32_t bytes);

/* Frees what d owns. Safe on an object of all zeroes, and twice. */
void tt_decap_dispose(struct tt_decap *d);

/* Takes bytes from the front of *in and gives out at most one packet.
 *
 *   in      in: what the carrier delivered, borrowed for this call.
 *           out: what is left; call again until TT_E_AGAIN (that call also gives back the memory
 *           of a packet that came in pieces).
 *   packet  out: the packet. It points into *in when it lay there whole (no copy), into memory of
 *           d when it came in pieces. Valid until the next call on d or the end of in's memory,
 *           whichever is first.
 *
 * Returns 0              a packet, possibly of length 0
 *         TT_E_AGAIN     in is used up, the packet is not complete yet
 *         TT_E_TOO_LONG  (fatal) length above max_packet: end this carrier, not the session
 *         TT_E_NOMEM     (fatal) no memory to put the packet together: the same
 */
int tt_decap_next(struct tt_decap *d, struct tt_span *in, struct tt_span *packet);

/* The same, but leaves a packet that is not whole where it lies, at the front of *in, when all of
 * it with its length would fit into `room` bytes: the caller can read on behind it and offer it
 * again, and it need not be put together. What was begun before is gone on with. With a room of 0,
 * when nothing more comes for now, it is tt_decap_next.
 */
int tt_decap_next_whole(struct tt_decap *d, struct tt_span *in, size_t room,
                        struct tt_span *packet);

/* Call when the carrier's stream has ended and all of it was handed in.
 *
 * Returns 0               it ended between packets
 *         TT_E_TRUNCATED  it ended in a length or a packet; the packets before it count (T-6)
 */
int tt_decap_end(const struct tt_decap *d);

#endif
