#include "net/origins.h"

#include <turbotunnel/error.h>

/* An address that has connections. */
struct origin {
    uint32_t connections;
};

void tt_origins_init(struct tt_origins *o, uint32_t most, const uint8_t hash_key[TT_SIPHASH_KEY],
                     const struct tt_alloc *alloc)
{
    *o = (struct tt_origins){.most = most};
    (void)pthread_mutex_init(&o->lock, NULL);
    tt_map_init(&o->map, hash_key, alloc);
}

void tt_origins_dispose(struct tt_origins *o)
{
    tt_map_dispose(&o->map);
    (void)pthread_mutex_destroy(&o->lock);
}

static int add(struct tt_origins *o, uint64_t origin)
{
    const struct tt_alloc *alloc = o->map.alloc;
    struct origin *at = alloc->get(alloc->ctx, sizeof *at);
    if (!at)
        return TT_E_NOMEM;
    at->connections = 1;
    const int err = tt_map_insert(&o->map, origin, at);
    if (err)
        alloc->put(alloc->ctx, at);
    return err;
}

static int enter(struct tt_origins *o, uint64_t origin)
{
    struct origin *at = tt_map_find(&o->map, origin);
    if (!at)
        return add(o, origin);
    if (at->connections >= o->most)
        return TT_E_FULL;
    at->connections++;
    return TT_OK;
}

int tt_origins_enter(struct tt_origins *o, uint64_t origin)
{
    if (o->most == 0 || origin == 0)
        return TT_OK;
    (void)pthread_mutex_lock(&o->lock);
    const int err = enter(o, origin);
    (void)pthread_mutex_unlock(&o->lock);
    return err;
}

void tt_origins_leave(struct tt_origins *o, uint64_t origin)
{
    const struct tt_alloc *alloc = o->map.alloc;
    if (o->most == 0 || origin == 0)
        return;
    (void)pthread_mutex_lock(&o->lock);
    struct origin *at = tt_map_find(&o->map, origin);
    if (--at->connections == 0) {
        (void)tt_map_remove(&o->map, origin);
        alloc->put(alloc->ctx, at);
    }
    (void)pthread_mutex_unlock(&o->lock);
}
