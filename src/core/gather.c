#include "core/gather.h"

#include <assert.h>
#include <string.h>

#include <turbotunnel/error.h>

static void drop_references(struct tt_gather *g)
{
    for (uint32_t i = g->first; g->kept && i < g->count; i++)
        tt_slab_unref(g->owners[i]);
    g->kept = false;
}

static void drop_built(struct tt_gather *g)
{
    while (g->built_count > 0)
        tt_slab_unref(g->built[--g->built_count]);
}

void tt_gather_reset(struct tt_gather *g)
{
    drop_references(g);
    drop_built(g);
    g->first = 0;
    g->count = 0;
    g->headers_used = 0;
    g->bytes = 0;
}

uint8_t *tt_gather_header(struct tt_gather *g, uint32_t n)
{
    uint8_t *at = g->headers + g->headers_used;

    assert(tt_gather_has_room(g, n));
    g->headers_used += n;
    g->bytes += n;
    if (g->count > g->first) {
        struct tt_span *last = &g->spans[g->count - 1];
        if (last->ptr + last->len == at) {
            last->len += n;
            return at;
        }
    }
    g->owners[g->count] = NULL;
    g->spans[g->count++] = tt_span_of(at, n);
    return at;
}

void tt_gather_payload(struct tt_gather *g, const uint8_t *data, size_t len, struct tt_slab *owner)
{
    assert(g->count < TT_GATHER_SPANS);
    if (g->kept && owner)
        tt_slab_ref(owner);
    g->owners[g->count] = owner;
    g->spans[g->count++] = tt_span_of(data, len);
    g->bytes += len;
}

/* --- packets that are built here --- */

static struct tt_slab *last_built(const struct tt_gather *g)
{
    return g->built_count > 0 ? g->built[g->built_count - 1] : NULL;
}

/* Returns as tt_gather_build. */
static int add_slab(struct tt_gather *g, struct tt_slab_pool *slabs)
{
    if (g->built_count == TT_GATHER_SLABS)
        return TT_E_FULL;
    struct tt_slab *slab = tt_slab_get(slabs, TT_SLAB_PACKETS);
    if (!slab)
        return g->bytes > 0 ? TT_E_FULL : TT_E_NOMEM;
    g->built[g->built_count++] = slab;
    return TT_OK;
}

int tt_gather_build(struct tt_gather *g, struct tt_slab_pool *slabs, uint32_t n, uint8_t **room)
{
    const struct tt_slab *slab = last_built(g);
    if (!tt_gather_has_room(g, n <= TT_GATHER_SMALL ? n : 0))
        return TT_E_FULL;
    if (n <= TT_GATHER_SMALL) {
        *room = g->headers + g->headers_used;
        return TT_OK;
    }
    if (!slab || tt_slab_room(slab) < n) {
        const int err = add_slab(g, slabs);
        if (err)
            return err;
        slab = last_built(g);
    }
    if (tt_slab_room(slab) < n)
        return TT_E_FULL;
    *room = g->built[g->built_count - 1]->data + slab->used;
    return TT_OK;
}

void tt_gather_built(struct tt_gather *g, const uint8_t *room, uint32_t n)
{
    struct tt_slab *slab = last_built(g);
    if (room == g->headers + g->headers_used) {
        (void)tt_gather_header(g, n);
        return;
    }
    assert(slab && room == slab->data + slab->used);
    slab->used += n;
    tt_gather_payload(g, room, n, slab);
}

void tt_gather_copy(const struct tt_gather *g, uint8_t *out)
{
    for (uint32_t i = g->first; i < g->count; i++) {
        memcpy(out, g->spans[i].ptr, g->spans[i].len);
        out += g->spans[i].len;
    }
}

struct tt_gather_mark tt_gather_mark(const struct tt_gather *g)
{
    return (struct tt_gather_mark){.count = g->count,
                                   .headers_used = g->headers_used,
                                   .last_len = g->count > 0 ? g->spans[g->count - 1].len : 0,
                                   .bytes = g->bytes};
}

void tt_gather_rewind(struct tt_gather *g, const struct tt_gather_mark *mark)
{
    assert(!g->kept);
    g->count = mark->count;
    g->headers_used = mark->headers_used;
    g->bytes = mark->bytes;
    if (g->count > 0)
        g->spans[g->count - 1].len = mark->last_len;
}

void tt_gather_advance(struct tt_gather *g, size_t n)
{
    assert(n <= g->bytes);
    g->bytes -= n;
    while (n > 0) {
        struct tt_span *s = &g->spans[g->first];
        if (n < s->len) {
            tt_span_skip(s, n);
            return;
        }
        n -= s->len;
        if (g->kept)
            tt_slab_unref(g->owners[g->first]);
        g->first++;
    }
}

void tt_gather_keep(struct tt_gather *g)
{
    if (g->kept)
        return;
    for (uint32_t i = g->first; i < g->count; i++) {
        if (g->owners[i])
            tt_slab_ref(g->owners[i]);
    }
    g->kept = true;
}
