#include "net/ways.h"

#include <stdio.h>

#define MOST_WAYS 16u

static int add(struct tt_ways *w, const char *text, struct tt_error_text *why)
{
    struct tt_way *way = &w->ways[w->count];
    const int err = tt_address_parse(&way->address, text, why);
    if (err)
        return err;
    (void)snprintf(way->text, sizeof way->text, "%s", text);
    w->count++;
    return TT_OK;
}

int tt_ways_init(struct tt_ways *w, const char *address, const struct tt_options *o,
                 const struct tt_alloc *alloc, struct tt_error_text *why)
{
    *w = (struct tt_ways){.spread = o->carriers + o->standby > 1};
    if (o->also_count >= MOST_WAYS) {
        tt_why(why, "%u addresses: %u are the most", o->also_count + 1, MOST_WAYS);
        return TT_E_INVAL;
    }
    w->ways = alloc->get(alloc->ctx, (o->also_count + 1) * sizeof *w->ways);
    if (!w->ways)
        return TT_E_NOMEM;
    int err = add(w, address, why);
    for (uint32_t i = 0; i < o->also_count && !err; i++)
        err = add(w, o->also[i], why);
    if (err)
        tt_ways_dispose(w, alloc);
    return err;
}

void tt_ways_dispose(struct tt_ways *w, const struct tt_alloc *alloc)
{
    if (w->ways)
        alloc->put(alloc->ctx, w->ways);
    *w = (struct tt_ways){.ways = NULL};
}

uint32_t tt_ways_next(struct tt_ways *w)
{
    return w->spread ? (w->preferred + w->turn++) % w->count : w->preferred;
}

void tt_ways_failed(struct tt_ways *w, uint32_t way)
{
    if (way == w->preferred)
        w->preferred = (w->preferred + 1) % w->count;
}
