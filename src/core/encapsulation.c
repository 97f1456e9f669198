#include "core/encapsulation.h"

#include <stdbool.h>

#include <turbotunnel/error.h>

static int take_header(struct tt_decap *d, struct tt_span *in)
{
    for (; d->header_left > 0 && in->len > 0; d->header_left--) {
        d->header[TT_ENCAP_HEADER - d->header_left] = in->ptr[0];
        tt_span_skip(in, 1);
    }
    if (d->header_left > 0)
        return TT_E_AGAIN;
    return tt_get_be16(d->header) <= d->max_packet ? TT_OK : TT_E_TOO_LONG;
}

static int skip_rest(struct tt_decap *d, struct tt_span *in)
{
    const uint32_t n = in->len < d->skip ? (uint32_t)in->len : d->skip;
    tt_span_skip(in, n);
    d->skip -= n;
    return d->skip > 0 ? TT_E_AGAIN : TT_OK;
}

int tt_decap_init(struct tt_decap *d, size_t max_packet, const struct tt_alloc *alloc)
{
    if (max_packet < 1 || max_packet > TT_ENCAP_MAX_PACKET)
        return TT_E_INVAL;
    *d = (struct tt_decap){.max_packet = (uint32_t)max_packet,
                           .keep = TT_ENCAP_MAX_PACKET,
                           .header_left = TT_ENCAP_HEADER};
    tt_packet_body_init(&d->body, alloc);
    return TT_OK;
}

void tt_decap_cut(struct tt_decap *d, uint32_t bytes)
{
    d->keep = bytes;
}

void tt_decap_dispose(struct tt_decap *d)
{
    tt_packet_body_release(&d->body);
}

/* Of a packet of so many bytes, those that are given out. */
static uint32_t kept_of(const struct tt_decap *d, uint32_t len)
{
    return len < d->keep ? len : d->keep;
}

int tt_decap_next(struct tt_decap *d, struct tt_span *in, struct tt_span *packet)
{
    if (d->header_left == TT_ENCAP_HEADER)
        tt_packet_body_release(&d->body); /* the packet given out last */
    int err = skip_rest(d, in);
    if (!err)
        err = take_header(d, in);
    if (err)
        return err;
    const uint32_t len = tt_get_be16(d->header);
    const uint32_t kept = kept_of(d, len);
    err = tt_packet_body_take(&d->body, kept, in, packet);
    if (err)
        return err;
    d->skip = len - kept;
    d->header_left = TT_ENCAP_HEADER;
    return TT_OK;
}

/* Between packets, and there will be a whole one when there is more; not one that is too long. */
static bool waits_for_more(const struct tt_decap *d, const struct tt_span *in, size_t room)
{
    if (room < TT_ENCAP_HEADER || tt_decap_end(d) != TT_OK)
        return false;
    if (in->len < TT_ENCAP_HEADER)
        return true;
    const uint32_t len = tt_get_be16(in->ptr);
    const uint32_t whole = TT_ENCAP_HEADER + kept_of(d, len);
    return len <= d->max_packet && in->len < whole && whole <= room;
}

int tt_decap_next_whole(struct tt_decap *d, struct tt_span *in, size_t room, struct tt_span *packet)
{
    if (!waits_for_more(d, in, room))
        return tt_decap_next(d, in, packet);
    tt_packet_body_release(&d->body);
    return TT_E_AGAIN;
}

int tt_decap_end(const struct tt_decap *d)
{
    return d->header_left == TT_ENCAP_HEADER && d->skip == 0 ? TT_OK : TT_E_TRUNCATED;
}
