/* gather.h - packets on their way out: many pieces, to be written by one system call.
 *
 * Headers are built in the gather's own memory, payload is borrowed from the slabs where it lies.
 * Nothing is copied. A batch that was written whole is simply reset. Of a batch that was written in
 * part the rest must stay valid until the carrier can take it: tt_gather_keep takes a reference to
 * every slab that is still needed.
 */
#ifndef TT_CORE_GATHER_H
#define TT_CORE_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/slab.h"

#define TT_GATHER_SPANS        512u
#define TT_GATHER_HEADER_BYTES 16384u
#define TT_GATHER_SLABS        5u   /* of packets that were built here: 20 of 15 KiB */
#define TT_GATHER_SMALL        512u /* such a packet is built among the headers */

struct tt_gather {
    struct tt_span spans[TT_GATHER_SPANS];   /* laid out like struct iovec */
    struct tt_slab *owners[TT_GATHER_SPANS]; /* where each span lies; NULL: in headers */
    uint32_t first;                          /* spans before it are written */
    uint32_t count;
    uint32_t headers_used;
    bool kept;                              /* references are held for spans[first..count) */
    size_t bytes;                           /* not written yet */
    struct tt_slab *built[TT_GATHER_SLABS]; /* owned: where tt_gather_build gave room */
    uint32_t built_count;
    uint8_t headers[TT_GATHER_HEADER_BYTES];
};

/* Empties it; drops the references of tt_gather_keep. A new one starts as all zeroes. */
void tt_gather_reset(struct tt_gather *g);

/* Whether a segment (one header, one payload) of these sizes still fits. */
static inline bool tt_gather_has_room(const struct tt_gather *g, size_t header_bytes)
{
    return g->count + 2 <= TT_GATHER_SPANS &&
           g->headers_used + header_bytes <= TT_GATHER_HEADER_BYTES;
}

/* n bytes of header to fill in, valid until reset. The caller has asked tt_gather_has_room. */
uint8_t *tt_gather_header(struct tt_gather *g, uint32_t n);

/* Adds payload that lies in owner. */
void tt_gather_payload(struct tt_gather *g, const uint8_t *data, size_t len, struct tt_slab *owner);

/* Room for a packet of up to n bytes that is built here, not gathered: sealed packets are. It
 * becomes part of the gather by tt_gather_built, with the bytes that it came to be; nothing else is
 * added in between. The slabs are the gather's until it is reset.
 *
 * Returns 0, TT_E_FULL (write first) or TT_E_NOMEM (the pool has none, and the gather is empty).
 */
int tt_gather_build(struct tt_gather *g, struct tt_slab_pool *slabs, uint32_t n, uint8_t **room);
void tt_gather_built(struct tt_gather *g, const uint8_t *room, uint32_t n);

/* Copies all that is not written yet to out. */
void tt_gather_copy(const struct tt_gather *g, uint8_t *out);

/* To take back what was added since: a packet that turned out empty. */
struct tt_gather_mark {
    uint32_t count;
    uint32_t headers_used;
    size_t last_len; /* of the last span, to which a header may have been joined */
    size_t bytes;
};
struct tt_gather_mark tt_gather_mark(const struct tt_gather *g);
void tt_gather_rewind(struct tt_gather *g, const struct tt_gather_mark *mark);

/* n bytes have been written: forgets them. */
void tt_gather_advance(struct tt_gather *g, size_t n);

/* Takes references for what is left, so that it survives the end of this call chain. */
void tt_gather_keep(struct tt_gather *g);

#endif
