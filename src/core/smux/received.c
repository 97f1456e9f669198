#include <assert.h>

#include "core/smux/received.h"
#include "core/smux/smux.h"

#define PIECE_BYTES sizeof(struct tt_smux_piece)

/* A stream with so many pieces gets small ones copied together. */
#define MANY_PIECES 16u
#define SMALL_PIECE 256u

/* An empty ring of more items is freed at once, a smaller one when the session rests. */
#define MOST_IDLE_ITEMS 16u

/* Copying begins when the account is charged for so much more than what is stored. */
#define MOST_OVERHEAD_FACTOR 4u
#define MOST_OVERHEAD_BYTES  262144u

static struct tt_smux_piece *piece_at(const struct tt_smux_received *r, uint32_t number)
{
    return tt_ring_at(&r->pieces, PIECE_BYTES, number);
}

static size_t stored_bytes(const struct tt_smux *m)
{
    return (size_t)((int64_t)m->config.max_receive_buffer - m->receive_tokens);
}

static bool many_small(const struct tt_smux_received *r, size_t len)
{
    return r->count >= MANY_PIECES && len < SMALL_PIECE;
}

static bool may_refer(const struct tt_smux *m, const struct tt_slab *slab)
{
    if (!slab || slab->transient)
        return false;
    return m->config.account->bytes / MOST_OVERHEAD_FACTOR <=
           stored_bytes(m) + MOST_OVERHEAD_BYTES / MOST_OVERHEAD_FACTOR;
}

/* Adds one piece of a slab, as a part of the last one when it lies behind that. */
static int add_piece(struct tt_smux *m, struct tt_smux_received *r, const uint8_t *ptr, size_t len,
                     struct tt_slab *slab)
{
    struct tt_smux_piece *last = r->count ? piece_at(r, r->first + r->count - 1) : NULL;
    if (last && last->slab == slab && last->ptr + last->len == ptr) {
        last->len += (uint32_t)len;
    } else {
        m->rests = false;
        int err = tt_ring_reserve(&r->pieces, m->config.alloc, PIECE_BYTES, r->first, r->count,
                                  r->count + 1);
        if (err)
            return err;
        *piece_at(r, r->first + r->count++) =
            (struct tt_smux_piece){.ptr = ptr, .slab = tt_slab_ref(slab), .len = (uint32_t)len};
        tt_slab_charge(slab, m->config.account);
    }
    r->bytes += len;
    m->receive_tokens -= (int64_t)len;
    return TT_OK;
}

static enum tt_slab_class class_for(size_t bytes)
{
    if (bytes <= tt_slab_capacity(TT_SLAB_SMALL))
        return TT_SLAB_SMALL;
    return bytes <= 4 * (size_t)tt_slab_capacity(TT_SLAB_MEDIUM) ? TT_SLAB_MEDIUM : TT_SLAB_LARGE;
}

/* Makes room in *home, whose users hold `bytes` so far. */
static int ensure_room(struct tt_smux *m, struct tt_slab **home, size_t bytes)
{
    if (*home && tt_slab_room(*home) > 0)
        return TT_OK;
    struct tt_slab *fresh = tt_slab_get(m->config.slabs, class_for(bytes));
    if (!fresh)
        return TT_E_NOMEM;
    tt_slab_unref(*home);
    *home = fresh;
    return TT_OK;
}

/* Copies as much as fits into one slab, the stream's own or the session's; *stored says how much.
 */
static int add_copy(struct tt_smux *m, struct tt_smux_received *r, struct tt_span bytes, bool own,
                    size_t *stored)
{
    struct tt_slab **home = own ? &r->own : &m->compact;
    int err = ensure_room(m, home, own ? r->bytes : stored_bytes(m) + bytes.len);
    if (err)
        return err;
    struct tt_slab *slab = *home;
    const uint32_t room = tt_slab_room(slab);
    const size_t n = bytes.len < room ? bytes.len : room;
    uint8_t *copy = slab->data + slab->used;
    err = add_piece(m, r, copy, n, slab);
    if (err)
        return err;
    memcpy(copy, bytes.ptr, n);
    slab->used += (uint32_t)n;
    m->stats.copied_bytes += n;
    *stored += n;
    return TT_OK;
}

int tt_smux_received_add(struct tt_smux *m, struct tt_smux_received *r, struct tt_span bytes,
                         struct tt_slab *slab, size_t *stored)
{
    const bool own = many_small(r, bytes.len);
    int err = TT_OK;

    *stored = 0;
    if (!own && may_refer(m, slab)) {
        err = add_piece(m, r, bytes.ptr, bytes.len, slab);
        *stored = err ? 0 : bytes.len;
        return err;
    }
    while (*stored < bytes.len && !err)
        err = add_copy(m, r, tt_span_of(bytes.ptr + *stored, bytes.len - *stored), own, stored);
    return err;
}

size_t tt_smux_received_peek(const struct tt_smux_received *r, struct tt_span *spans, size_t count)
{
    const size_t n = count < r->count ? count : r->count;
    for (uint32_t i = 0; i < n; i++) {
        const struct tt_smux_piece *p = piece_at(r, r->first + i);
        spans[i] = tt_span_of(p->ptr, p->len);
    }
    return n;
}

/* Nothing is left: an idle stream holds nothing but itself, an idle session no slab. */
static void release_idle(struct tt_smux *m, struct tt_smux_received *r)
{
    if (r->pieces.capacity > MOST_IDLE_ITEMS)
        tt_ring_dispose(&r->pieces, m->config.alloc);
    tt_slab_unref(r->own);
    r->own = NULL;
    if (stored_bytes(m) == 0) {
        tt_slab_unref(m->compact);
        m->compact = NULL;
    }
}

void tt_smux_received_drop(struct tt_smux *m, struct tt_smux_received *r, size_t len)
{
    assert(len <= r->bytes);
    r->bytes -= len;
    m->receive_tokens += (int64_t)len;
    while (len > 0) {
        struct tt_smux_piece *p = piece_at(r, r->first);
        if (len < p->len) {
            p->ptr += len;
            p->len -= (uint32_t)len;
            return;
        }
        len -= p->len;
        tt_slab_unref(p->slab);
        r->first++;
        r->count--;
    }
    if (r->count == 0)
        release_idle(m, r);
}

void tt_smux_received_clear(struct tt_smux *m, struct tt_smux_received *r)
{
    tt_smux_received_drop(m, r, r->bytes);
    tt_ring_dispose(&r->pieces, m->config.alloc);
}

void tt_smux_received_shrink(struct tt_smux *m, struct tt_smux_received *r)
{
    if (r->count == 0)
        tt_ring_dispose(&r->pieces, m->config.alloc);
}
