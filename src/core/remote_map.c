#include <assert.h>

#include <turbotunnel/error.h>

#include "core/base/clock.h"
#include "core/remote_map.h"

void tt_remote_map_init(struct tt_remote_map *m, uint64_t expiry_us,
                        const uint8_t hash_key[TT_SIPHASH_KEY], const struct tt_alloc *alloc)
{
    *m = (struct tt_remote_map){.expiry_us = expiry_us};
    tt_map_init(&m->map, hash_key, alloc);
    tt_list_init(&m->by_use);
}

void tt_remote_map_dispose(struct tt_remote_map *m)
{
    if (!m->map.alloc)
        return;
    while (tt_list_pop_front(&m->by_use))
        continue;
    tt_map_dispose(&m->map);
}

struct tt_remote *tt_remote_map_find(const struct tt_remote_map *m, const struct tt_session_id *id)
{
    return tt_map_find(&m->map, tt_session_id_key(id));
}

int tt_remote_map_insert(struct tt_remote_map *m, struct tt_remote *r,
                         const struct tt_session_id *id, uint64_t now_us)
{
    int err = tt_map_insert(&m->map, tt_session_id_key(id), r);
    if (err)
        return err;
    *r = (struct tt_remote){.id = *id, .used_us = now_us};
    tt_list_push_back(&m->by_use, &r->node);
    return TT_OK;
}

void tt_remote_map_remove(struct tt_remote_map *m, struct tt_remote *r)
{
    tt_map_remove(&m->map, tt_session_id_key(&r->id));
    tt_list_remove(&r->node);
}

void tt_remote_map_use(struct tt_remote_map *m, struct tt_remote *r, uint64_t now_us)
{
    assert(now_us >= r->used_us);
    r->used_us = now_us;
    tt_list_remove(&r->node);
    tt_list_push_back(&m->by_use, &r->node);
}

struct tt_remote *tt_remote_map_oldest(const struct tt_remote_map *m)
{
    struct tt_list_node *node = tt_list_first(&m->by_use);
    return node ? TT_CONTAINER_OF(node, struct tt_remote, node) : NULL;
}

struct tt_remote *tt_remote_map_expired(const struct tt_remote_map *m, uint64_t now_us)
{
    struct tt_remote *r = tt_remote_map_oldest(m);
    return r && tt_deadline_after(r->used_us, m->expiry_us) <= now_us ? r : NULL;
}

uint64_t tt_remote_map_deadline(const struct tt_remote_map *m)
{
    const struct tt_remote *r = tt_remote_map_oldest(m);
    return r ? tt_deadline_after(r->used_us, m->expiry_us) : TT_NEVER;
}
