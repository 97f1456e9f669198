#include <assert.h>

#include "core/gather.h"

static void drop_references(struct tt_gather *g)
{
    for (uint32_t i = g->first; g->kept && i < g->count; i++)
        tt_slab_unref(g->owners[i]);
    g->kept = false;
}

void tt_gather_reset(struct tt_gather *g)
{
    drop_references(g);
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
