/* Message mode: KCP's own message boundaries. A session does not use it; a peer of some other
 * KCP program may.
 */
#include <string.h>

#include <turbotunnel/error.h>

#include "core/kcp/kcp.h"

#define MAX_FRAGMENTS 255u

/* Message mode wants each message in one slab; a larger one is put together from several pieces. */
static int push_piece(struct tt_kcp *k, struct tt_span piece)
{
    unsigned class = TT_SLAB_SMALL;
    while (class < TT_SLAB_CLASSES && tt_slab_capacity(class) < piece.len)
        class ++;
    struct tt_slab *slab = class == TT_SLAB_CLASSES ? NULL : tt_slab_get(k->send.slabs, class);
    if (!slab)
        return TT_E_NOMEM;
    memcpy(slab->data, piece.ptr, piece.len);
    slab->used = (uint32_t)piece.len;
    return tt_kcp_send_push(&k->send, slab->data, slab->used, slab);
}

/* The fragments of a message were queued as messages of one segment each: number them. */
static void number_fragments(struct tt_kcp_send *s, uint32_t first)
{
    for (uint32_t sn = first; sn != s->end; sn++)
        tt_kcp_send_at(s, sn)->frg = (uint8_t)(s->end - 1 - sn);
}

/* Takes back what was queued since `first` was the end, and what was joined to the segment before
 * it, which had `len` bytes. */
static void unqueue(struct tt_kcp_send *s, uint32_t first, uint16_t len)
{
    if (first != s->nxt) {
        struct tt_kcp_out *last = tt_kcp_send_at(s, first - 1);
        s->queued_bytes -= (uint32_t)(last->len - len);
        last->len = len;
    }
    while (s->end != first) {
        struct tt_kcp_out *out = tt_kcp_send_at(s, --s->end);
        s->queued_bytes -= out->len;
        tt_slab_unref(out->slab);
    }
}

/* Stream mode first fills the last segment that has no number yet (K-5). */
static size_t first_piece(const struct tt_kcp_send *s, size_t len)
{
    size_t room = s->mss;
    if (s->stream && s->end != s->nxt && tt_kcp_send_at(s, s->end - 1)->len < s->mss)
        room = s->mss - tt_kcp_send_at(s, s->end - 1)->len;
    return len < room ? len : room;
}

int tt_kcp_send_message(struct tt_kcp *k, struct tt_span message)
{
    struct tt_kcp_send *s = &k->send;
    const uint32_t first = s->end;
    const uint16_t last_len = first == s->nxt ? 0 : tt_kcp_send_at(s, first - 1)->len;
    int err = TT_OK;

    if (message.len == 0)
        return TT_E_INVAL;
    if (!s->stream && (message.len - 1) / s->mss >= MAX_FRAGMENTS)
        return TT_E_INVAL;
    while (message.len > 0 && !err) {
        const size_t n = first_piece(s, message.len);
        err = push_piece(k, tt_span_of(message.ptr, n));
        tt_span_skip(&message, n);
    }
    if (err)
        unqueue(s, first, last_len);
    else if (!s->stream)
        number_fragments(s, first);
    return err;
}

int tt_kcp_peek_message(const struct tt_kcp *k, size_t *size)
{
    const struct tt_kcp_receive *r = &k->receive;
    const struct tt_kcp_in *head = tt_kcp_receive_peek(r);

    *size = 0;
    if (!head || r->nxt - r->read < head->frg + 1u)
        return TT_E_AGAIN;
    for (uint32_t sn = r->read; sn != r->nxt; sn++) {
        const struct tt_kcp_in *in = tt_kcp_receive_at(r, sn);
        *size += in->len;
        if (in->frg == 0)
            return TT_OK;
    }
    /* frg did not count down to 0: kcp-go ends the message at the end of its queue. */
    return TT_OK;
}

int tt_kcp_receive_message(struct tt_kcp *k, void *buf, size_t cap, size_t *len)
{
    size_t size;
    int err = tt_kcp_peek_message(k, &size);

    *len = 0;
    if (err)
        return err;
    if (size > cap)
        return TT_E_INVAL;
    for (bool last = false; !last && tt_kcp_receive_peek(&k->receive);) {
        const struct tt_kcp_in *in = tt_kcp_receive_peek(&k->receive);
        if (in->len > 0)
            memcpy((uint8_t *)buf + *len, in->data, in->len);
        *len += in->len;
        last = in->frg == 0;
        tt_kcp_take(k);
    }
    return TT_OK;
}
