#include <assert.h>

#include <turbotunnel/error.h>

#include "core/smux/stream.h"
#include "core/smux/table.h"

/* More are found through a map; at half as many it goes again. */
#define FEW 8u

static struct tt_smux_stream *of_node(struct tt_list_node *node)
{
    return TT_CONTAINER_OF(node, struct tt_smux_stream, all_node);
}

void tt_smux_table_init(struct tt_smux_table *t)
{
    *t = (struct tt_smux_table){.count = 0};
    tt_list_init(&t->all);
}

static void drop_map(struct tt_smux_table *t, const struct tt_alloc *alloc)
{
    if (!t->by_sid)
        return;
    tt_map_dispose(t->by_sid);
    alloc->put(alloc->ctx, t->by_sid);
    t->by_sid = NULL;
}

void tt_smux_table_dispose(struct tt_smux_table *t, const struct tt_alloc *alloc)
{
    assert(t->count == 0);
    drop_map(t, alloc);
}

struct tt_smux_stream *tt_smux_table_find(const struct tt_smux_table *t, uint32_t sid)
{
    if (t->by_sid)
        return tt_map_find(t->by_sid, sid);
    TT_LIST_FOR_EACH(node, &t->all)
    {
        struct tt_smux_stream *s = of_node(node);
        if (s->sid == sid)
            return s;
    }
    return NULL;
}

/* All that are there. */
static int make_map(struct tt_smux_table *t, const uint8_t *hash_key, const struct tt_alloc *alloc)
{
    int err = TT_OK;
    t->by_sid = alloc->get(alloc->ctx, sizeof *t->by_sid);
    if (!t->by_sid)
        return TT_E_NOMEM;
    tt_map_init(t->by_sid, hash_key, alloc);
    TT_LIST_FOR_EACH(node, &t->all)
    {
        if (!err)
            err = tt_map_insert(t->by_sid, of_node(node)->sid, of_node(node));
    }
    if (err)
        drop_map(t, alloc);
    return err;
}

int tt_smux_table_add(struct tt_smux_table *t, struct tt_smux_stream *s, const uint8_t *hash_key,
                      const struct tt_alloc *alloc)
{
    int err = tt_smux_table_find(t, s->sid) ? TT_E_INVAL : TT_OK;
    if (!err && t->count == FEW && !t->by_sid)
        err = make_map(t, hash_key, alloc);
    if (!err && t->by_sid)
        err = tt_map_insert(t->by_sid, s->sid, s);
    if (err)
        return err;
    tt_list_push_back(&t->all, &s->all_node);
    t->count++;
    return TT_OK;
}

void tt_smux_table_remove(struct tt_smux_table *t, struct tt_smux_stream *s,
                          const struct tt_alloc *alloc)
{
    if (t->by_sid)
        (void)tt_map_remove(t->by_sid, s->sid);
    tt_list_remove(&s->all_node);
    t->count--;
    if (t->count <= FEW / 2)
        drop_map(t, alloc);
}
