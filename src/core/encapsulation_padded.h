/* encapsulation_padded.h - packets and padding inside a byte stream: the form that Snowflake uses.
 *
 * The stream is a sequence of chunks: a prefix of 1 to 3 bytes, then the bytes that it counts,
 * which are a packet or padding (T-18 to T-25). Bits of the prefix, most significant first:
 *
 *     d0xxxxxx                       length below 64; d: 1 a packet, 0 padding
 *     d1xxxxxx 0yyyyyyy              below 8192
 *     d1xxxxxx 1yyyyyyy 0zzzzzzz     below 1048576
 *
 * When and how much to pad is the caller's decision; nothing here pads of its own accord. Sans-I/O:
 * no sockets, no clock, no randomness. Memory is held only while a packet lies in pieces. One
 * thread at a time per object.
 */
#ifndef TT_CORE_ENCAPSULATION_PADDED_H
#define TT_CORE_ENCAPSULATION_PADDED_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/bytes.h"
#include "core/packet_body.h"

#define TT_PADDED_MAX_PREFIX 3
#define TT_PADDED_MAX_PACKET 1048575

/* Padding is written in chunks of at most this many bytes, prefix included. */
#define TT_PADDED_MAX_PADDING_CHUNK 1024

/* Writes what goes before a packet of len bytes, in the shortest form (T-18).
 *
 *   prefix_len  out: how many bytes of prefix count, 1 to 3
 *
 * Returns 0, or TT_E_INVAL: len is above TT_PADDED_MAX_PACKET (T-24).
 */
int tt_padded_prefix(uint8_t prefix[TT_PADDED_MAX_PREFIX], size_t *prefix_len, size_t len);

/* Writes n bytes of padding to out, prefixes included: exactly n, for every n >= 0 (T-23). */
void tt_padded_padding(uint8_t *out, size_t n);

/* The longest packet that fits into n bytes together with its prefix. Exact: one byte more would
 * not fit (the Go library answers one byte less at n = 64 and n = 8192). 0 for n = 0, although an
 * empty packet does not fit there.
 */
size_t tt_padded_packet_room(size_t n);

/*                 d = 1
 *   START -----------------> DATA_PREFIX -----> DATA -----> START   (a packet came out)
 *     '----> PADDING_PREFIX -----> PADDING -----> START
 *      d = 0
 * and from either prefix, when it breaks a limit: FAILED, for good.
 */
enum tt_padded_state {
    TT_PADDED_START,
    TT_PADDED_DATA_PREFIX,
    TT_PADDED_PADDING_PREFIX,
    TT_PADDED_DATA,
    TT_PADDED_PADDING,
    TT_PADDED_FAILED,
};

/* The receiving side of one carrier. A new carrier gets a new one. */
struct tt_padded_decap {
    struct tt_packet_body body; /* the current packet, or the one given out last */
    size_t max_packet;
    uint32_t len; /* in a prefix: as far as read; DATA: of the packet; PADDING: still to skip */
    uint8_t prefix_have; /* bytes of the current prefix that have come */
    enum tt_padded_state state;
};

/* Returns 0 or TT_E_INVAL: max_packet is not in 1..1048575; there is nothing to dispose of then.
 * Allocates nothing.
 */
int tt_padded_decap_init(struct tt_padded_decap *d, size_t max_packet,
                         const struct tt_alloc *alloc);

/* Frees what d owns. Safe on an object of all zeroes, and twice. */
void tt_padded_decap_dispose(struct tt_padded_decap *d);

/* Takes bytes from the front of *in and gives out at most one packet; padding of any length and
 * content is skipped on the way (T-21). in and packet as for tt_decap_next().
 *
 * Returns 0              a packet, possibly of length 0 (T-25)
 *         TT_E_AGAIN     in is used up, no packet is complete yet
 *         TT_E_TOO_LONG  (fatal) a packet above max_packet, or a prefix that goes on after its
 * third byte, be it of padding (T-20): end this carrier, not the session TT_E_NOMEM     (fatal) no
 * memory to put the packet together: the same
 */
int tt_padded_decap_next(struct tt_padded_decap *d, struct tt_span *in, struct tt_span *packet);

/* Call when the carrier's stream has ended and all of it was handed in.
 *
 * Returns 0               it ended before a prefix
 *         TT_E_TRUNCATED  it ended in a prefix, a packet or padding (T-22); packets before it count
 */
int tt_padded_decap_end(const struct tt_padded_decap *d);

#endif
