#include <assert.h>
#include <string.h>

#include <turbotunnel/error.h>

#include "core/kcp/receive.h"

#define MAX_WND_FIELD 65535u /* K-47 */

void tt_kcp_receive_init(struct tt_kcp_receive *r, uint32_t window_first, uint32_t window_max)
{
    r->window_max = window_max < MAX_WND_FIELD ? window_max : MAX_WND_FIELD;
    r->window = window_first < r->window_max ? window_first : r->window_max;
    r->edge = r->read + r->window;
    r->told_edge = r->edge;
}

void tt_kcp_receive_dispose(struct tt_kcp_receive *r)
{
    for (uint32_t sn = r->read; sn != r->top; sn++) {
        struct tt_kcp_in *in = tt_kcp_receive_at(r, sn);
        if (in->held)
            tt_slab_unref(in->slab);
    }
    r->read = r->nxt = r->top;
    tt_slab_unref(r->compact);
    r->compact = NULL;
    if (!r->alloc)
        return;
    tt_ring_dispose(&r->ring, r->alloc);
    tt_ring_dispose(&r->acks, r->alloc);
}

void tt_kcp_receive_shrink(struct tt_kcp_receive *r)
{
    if (r->read == r->top) {
        tt_ring_dispose(&r->ring, r->alloc);
        tt_slab_unref(r->compact);
        r->compact = NULL;
    }
    if (r->ack_count == 0)
        tt_ring_dispose(&r->acks, r->alloc);
}

/* --- keeping --- */

/* A slab with room for len bytes to copy together what may stay for long. */
static struct tt_slab *compact_slab(struct tt_kcp_receive *r, uint32_t len)
{
    if (r->compact && tt_slab_room(r->compact) >= len)
        return r->compact;
    unsigned class = r->held_ahead < 8 ? TT_SLAB_SMALL : TT_SLAB_MEDIUM;
    while (class < TT_SLAB_CLASSES && tt_slab_capacity(class) < len)
        class ++;
    struct tt_slab *slab = class == TT_SLAB_CLASSES ? NULL : tt_slab_get(r->slabs, class);
    if (!slab)
        return NULL;
    tt_slab_unref(r->compact);
    r->compact = slab;
    return slab;
}

static bool copy_in(struct tt_kcp_receive *r, struct tt_kcp_in *in, struct tt_span data)
{
    struct tt_slab *slab = compact_slab(r, (uint32_t)data.len);
    if (!slab)
        return false;
    in->data = slab->data + slab->used;
    in->slab = tt_slab_ref(slab);
    in->borrowed = false;
    tt_slab_charge(slab, r->account);
    if (data.len > 0)
        memcpy(slab->data + slab->used, data.ptr, data.len);
    slab->used += (uint32_t)data.len;
    return true;
}

/* In order: by reference, since it is taken in a moment. Out of order it may stay long, and could
 * pin a large slab for a few bytes: it is copied.
 */
static bool keep(struct tt_kcp_receive *r, struct tt_kcp_in *in, uint32_t sn, struct tt_span data,
                 struct tt_slab *slab)
{
    if (!slab || sn != r->nxt)
        return copy_in(r, in, data);
    in->data = data.ptr;
    in->slab = tt_slab_ref(slab);
    in->borrowed = true;
    return true;
}

static struct tt_kcp_owed *owed_at(const struct tt_kcp_receive *r, uint32_t index)
{
    return tt_ring_at(&r->acks, sizeof(struct tt_kcp_owed), index);
}

/* An ack that is not sent costs a retransmission, nothing more: no memory is no error here. */
static void owe_ack(struct tt_kcp_receive *r, struct tt_kcp_owed owed)
{
    if (r->ack_count > r->window_max ||
        tt_ring_reserve(&r->acks, r->alloc, sizeof owed, r->ack_first, r->ack_count,
                        r->ack_count + 1)) {
        r->acks_dropped++;
        return;
    }
    *owed_at(r, r->ack_first + r->ack_count++) = owed;
}

static void owe_last(struct tt_kcp_receive *r, uint32_t sn, uint32_t ts)
{
    r->last = (struct tt_kcp_owed){.sn = sn, .ts = ts};
    r->last_owed = true;
}

/* The window follows what was delivered: twice as much as that, and the first window on top. */
static void grow_window(struct tt_kcp_receive *r)
{
    if (r->window >= r->window_max)
        return;
    r->window = r->window_max - r->window < 2 ? r->window_max : r->window + 2;
}

static void advance_in_order(struct tt_kcp_receive *r)
{
    while (r->nxt != r->top && tt_kcp_receive_at(r, r->nxt)->held) {
        r->nxt++;
        r->held_ahead--;
        r->delivered++;
        grow_window(r);
    }
    if (!tt_seq_before(r->nxt, r->again_end))
        r->again_left = 0; /* now: numbers come round */
}

/* Makes sn part of the ring. Numbers never used before are zeroes: the ring zeroes what is new, and
 * take() what is done with.
 */
static int reserve(struct tt_kcp_receive *r, uint32_t sn)
{
    const uint32_t used = r->top - r->read;
    const uint32_t want = sn + 1 - r->read;
    int err = tt_ring_reserve(&r->ring, r->alloc, sizeof(struct tt_kcp_in), r->read, used,
                              want > used ? want : used);
    if (!err && want > used)
        r->top = sn + 1;
    return err;
}

static void store(struct tt_kcp_receive *r, struct tt_kcp_in *in, uint8_t frg, uint32_t ts,
                  size_t len)
{
    in->held = true;
    in->frg = frg;
    in->ts = ts;
    in->len = (uint16_t)len;
    r->held_ahead++;
    r->brought++;
}

static void insert(struct tt_kcp_receive *r, uint32_t sn, uint32_t ts, uint8_t frg,
                   struct tt_span data, struct tt_slab *slab)
{
    const uint32_t old_top = r->top;
    if (reserve(r, sn)) {
        r->no_memory++;
        return;
    }
    struct tt_kcp_in *in = tt_kcp_receive_at(r, sn);
    if (in->held) {
        r->duplicates++;
    } else if (keep(r, in, sn, data, slab)) {
        store(r, in, frg, ts, data.len);
    } else {
        r->no_memory++;
        r->top = old_top;
        return;
    }
    if (sn == r->nxt) {
        advance_in_order(r);
        owe_last(r, sn, ts);
    } else {
        r->last_owed =
            false; /* as kcp-go: only the last of all acks is sent though una covers it */
        owe_ack(r, (struct tt_kcp_owed){.sn = sn, .ts = ts});
    }
}

void tt_kcp_receive_push(struct tt_kcp_receive *r, uint32_t sn, uint32_t ts, uint8_t frg,
                         struct tt_span data, struct tt_slab *slab)
{
    if (!tt_seq_before(sn, r->edge)) {
        r->beyond_window++;
    } else if (tt_seq_before(sn, r->nxt)) {
        r->duplicates++;
        owe_last(r, sn, ts);
    } else {
        insert(r, sn, ts, frg, data, slab);
    }
}

/* --- taking --- */

const struct tt_kcp_in *tt_kcp_receive_peek(const struct tt_kcp_receive *r)
{
    return r->read == r->nxt ? NULL : tt_kcp_receive_at(r, r->read);
}

static void move_edge(struct tt_kcp_receive *r)
{
    if (tt_seq_before(r->edge, r->read + r->window))
        r->edge = r->read + r->window;
}

/* Nothing is held, so an idle end holds no slab either. */
static void release_compact(struct tt_kcp_receive *r)
{
    if (r->read != r->top)
        return;
    tt_slab_unref(r->compact);
    r->compact = NULL;
}

struct tt_slab *tt_kcp_receive_take(struct tt_kcp_receive *r)
{
    struct tt_kcp_in *in = tt_kcp_receive_at(r, r->read);
    struct tt_slab *slab = in->slab;

    assert(r->read != r->nxt);
    in->held = false;
    in->slab = NULL;
    r->taken_bytes += in->len;
    r->read++;
    move_edge(r);
    release_compact(r);
    return slab;
}

/* As if it had never come: it and what is behind it are not in order any more. */
static void forget(struct tt_kcp_receive *r, uint32_t sn)
{
    struct tt_kcp_in *in = tt_kcp_receive_at(r, sn);
    const uint32_t behind = r->nxt - sn;

    tt_slab_unref(in->slab);
    in->slab = NULL;
    in->held = false;
    r->held_ahead += behind - 1;
    r->delivered -= behind;
    r->nxt = sn;
    r->last_owed = false;
    r->no_memory++;
}

static bool settle_one(struct tt_kcp_receive *r, uint32_t sn)
{
    struct tt_kcp_in *in = tt_kcp_receive_at(r, sn);
    struct tt_slab *borrowed = in->slab;

    if (!in->borrowed)
        return true;
    if (!copy_in(r, in, tt_span_of(in->data, in->len)))
        return false;
    tt_slab_unref(borrowed);
    return true;
}

int tt_kcp_receive_settle(struct tt_kcp_receive *r)
{
    uint32_t sn = tt_seq_before(r->settled, r->read) ? r->read : r->settled;
    int err = TT_OK;

    /* From the back, so that what fails last is the first hole. */
    for (uint32_t at = r->nxt; at != sn; at--) {
        if (!settle_one(r, at - 1)) {
            forget(r, at - 1);
            err = TT_E_NOMEM;
        }
    }
    r->settled = r->nxt;
    release_compact(r);
    return err;
}

/* --- windows and acks --- */

uint16_t tt_kcp_receive_wnd(struct tt_kcp_receive *r)
{
    move_edge(r);
    r->told_edge = r->edge;
    return (uint16_t)(r->edge - r->nxt);
}

/* When the peer believes the window shut, any room is news (K-18); else half a window is. */
bool tt_kcp_receive_must_tell(const struct tt_kcp_receive *r)
{
    const uint32_t news = r->edge - r->told_edge;
    return news > 0 && (r->told_edge == r->nxt || news >= r->window / 2);
}

static bool repeats_acks(const struct tt_kcp_receive *r)
{
    return r->again_left > 0 && tt_seq_before(r->again_sn, r->again_end);
}

/* There is one: what lay highest when the repetition was asked for was held out of order, so it is
 * held until it is in order.
 */
static struct tt_kcp_owed repeated_ack(struct tt_kcp_receive *r)
{
    uint32_t sn = tt_seq_before(r->again_sn, r->nxt) ? r->nxt : r->again_sn;
    while (!tt_kcp_receive_at(r, sn)->held)
        sn++;
    r->again_sn = sn + 1;
    r->again_left--;
    return (struct tt_kcp_owed){.sn = sn, .ts = tt_kcp_receive_at(r, sn)->ts, .again = true};
}

bool tt_kcp_receive_owes_ack(const struct tt_kcp_receive *r)
{
    return r->ack_count > 0 || r->last_owed || repeats_acks(r);
}

bool tt_kcp_receive_next_ack(struct tt_kcp_receive *r, struct tt_kcp_owed *owed)
{
    if (repeats_acks(r)) {
        *owed = repeated_ack(r);
        return true;
    }
    while (r->ack_count > 0) {
        *owed = *owed_at(r, r->ack_first++);
        r->ack_count--;
        if (!tt_seq_before(owed->sn, r->nxt) || (r->ack_count == 0 && !r->last_owed))
            return true;
    }
    if (!r->last_owed)
        return false;
    r->last_owed = false;
    *owed = r->last;
    return true;
}

void tt_kcp_receive_owe_all(struct tt_kcp_receive *r, uint32_t most)
{
    r->again_sn = r->nxt;
    r->again_end = r->top;
    r->again_left = r->held_ahead > 0 ? most : 0;
}
