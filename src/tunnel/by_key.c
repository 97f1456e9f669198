#include "tunnel/by_key.h"

#include <string.h>

#include <turbotunnel/error.h>

/* Of one client. Keys that begin with the same 8 bytes, which nobody comes by but on purpose, count
 * as one.
 */
struct tt_key_sessions {
    struct tt_list list;
    uint64_t id;
    uint32_t count;
};

static uint64_t id_of(const uint8_t key[TT_KEY_BYTES])
{
    uint64_t id;
    memcpy(&id, key, sizeof id);
    return id;
}

void tt_by_key_init(struct tt_by_key *b, const uint8_t hash_key[TT_SIPHASH_KEY])
{
    tt_map_init(&b->map, hash_key, &tt_alloc_malloc);
}

void tt_by_key_dispose(struct tt_by_key *b)
{
    tt_map_dispose(&b->map);
}

struct tt_list *tt_by_key_sessions(const struct tt_by_key *b, const uint8_t key[TT_KEY_BYTES],
                                   uint32_t *count)
{
    struct tt_key_sessions *s = tt_map_find(&b->map, id_of(key));
    *count = s ? s->count : 0;
    return s ? &s->list : NULL;
}

static struct tt_key_sessions *make(struct tt_by_key *b, uint64_t id)
{
    struct tt_key_sessions *s = tt_alloc_malloc.get(NULL, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct tt_key_sessions){.id = id};
    tt_list_init(&s->list);
    if (tt_map_insert(&b->map, id, s) == TT_OK)
        return s;
    tt_alloc_malloc.put(NULL, s);
    return NULL;
}

int tt_by_key_add(struct tt_by_key *b, const uint8_t key[TT_KEY_BYTES], struct tt_by_key_node *node)
{
    const uint64_t id = id_of(key);
    struct tt_key_sessions *s = tt_map_find(&b->map, id);
    if (!s)
        s = make(b, id);
    if (!s)
        return TT_E_NOMEM;
    node->of = s;
    tt_list_push_back(&s->list, &node->node);
    s->count++;
    return TT_OK;
}

void tt_by_key_remove(struct tt_by_key *b, struct tt_by_key_node *node)
{
    struct tt_key_sessions *s = node->of;
    if (!s)
        return;
    node->of = NULL;
    tt_list_remove(&node->node);
    if (--s->count > 0)
        return;
    (void)tt_map_remove(&b->map, s->id);
    tt_alloc_malloc.put(NULL, s);
}
