#include "core/packet_body.h"

#include <string.h>

#include <turbotunnel/error.h>

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How much to hold for a packet of `want` bytes of which `have` are there or at hand. */
static size_t cap_for(size_t have, size_t want)
{
    const size_t earned = have > want / 2 ? want : 2 * have;
    return min_size(want, earned > TT_PACKET_BODY_FIRST ? earned : TT_PACKET_BODY_FIRST);
}

static int make_room(struct tt_packet_body *b, size_t have, size_t want)
{
    if (have <= b->cap)
        return TT_OK;
    const size_t cap = cap_for(have, want);
    uint8_t *buf = b->alloc->get(b->alloc->ctx, cap);
    if (!buf)
        return TT_E_NOMEM;
    if (b->buf) {
        memcpy(buf, b->buf, b->have);
        b->alloc->put(b->alloc->ctx, b->buf);
    }
    b->buf = buf;
    b->cap = cap;
    return TT_OK;
}

void tt_packet_body_init(struct tt_packet_body *b, const struct tt_alloc *alloc)
{
    *b = (struct tt_packet_body){.alloc = alloc};
}

void tt_packet_body_release(struct tt_packet_body *b)
{
    if (!b->buf)
        return;
    b->alloc->put(b->alloc->ctx, b->buf);
    *b = (struct tt_packet_body){.alloc = b->alloc};
}

int tt_packet_body_take(struct tt_packet_body *b, size_t want, struct tt_span *in,
                        struct tt_span *packet)
{
    if (b->have == 0 && in->len >= want) {
        *packet = (struct tt_span){in->ptr, want};
        tt_span_skip(in, want);
        return TT_OK;
    }
    const size_t n = min_size(want - b->have, in->len);
    if (n > 0) {
        int err = make_room(b, b->have + n, want);
        if (err)
            return err;
        memcpy(b->buf + b->have, in->ptr, n);
        tt_span_skip(in, n);
        b->have += n;
    }
    if (b->have < want)
        return TT_E_AGAIN;
    *packet = (struct tt_span){b->buf, want};
    return TT_OK;
}
