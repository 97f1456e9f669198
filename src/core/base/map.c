#include "core/base/map.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include <turbotunnel/error.h>

#define MIN_CAP ((size_t)2)
#define MAX_CAP (SIZE_MAX / 4 / sizeof(struct tt_map_slot))

static size_t home_of(const struct tt_map *m, uint64_t key)
{
    return (size_t)tt_siphash_u64(m->hash_key, key) & (m->cap - 1);
}

/* The slot that holds key, or the free one where it would go. There is always a free one. */
static struct tt_map_slot *slot_for(const struct tt_map *m, uint64_t key)
{
    size_t i = home_of(m, key);

    assert(m->slots);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

/* Moves everything to a table of `cap` slots (0: none; then nothing may be in it). After
 * TT_E_NOMEM the map is as it was.
 */
static int resize(struct tt_map *m, size_t cap)
{
    struct tt_map old = *m;
    struct tt_map_slot *slots = NULL;

    if (cap > MAX_CAP)
        return TT_E_NOMEM;
    if (cap > 0) {
        slots = m->alloc->get(m->alloc->ctx, cap * sizeof(*slots));
        if (!slots)
            return TT_E_NOMEM;
        for (size_t i = 0; i < cap; i++)
            slots[i] = (struct tt_map_slot){0, NULL};
    }
    m->slots = slots;
    m->cap = cap;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *slot_for(m, old.slots[i].key) = old.slots[i];
    if (old.slots)
        m->alloc->put(m->alloc->ctx, old.slots);
    return TT_OK;
}

/* Empties slot i. What stands after it may stand there only because i was taken, so each entry up
 * to the next gap that could stand in the hole is moved into it: no tombstones, and a look-up still
 * stops at the first gap.
 */
static void empty_slot(struct tt_map *m, size_t hole)
{
    const size_t mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        const size_t from_home = (i - home_of(m, m->slots[i].key)) & mask;
        const size_t from_hole = (i - hole) & mask;
        if (from_home >= from_hole) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct tt_map_slot){0, NULL};
    m->count--;
}

/* Less than an eighth full: down to between a quarter and a half, far enough from both limits that
 * a map that goes up and down by one does not move again and again.
 */
static void shrink_if_sparse(struct tt_map *m)
{
    size_t cap = m->cap;
    if (m->count == 0)
        cap = 0;
    else if (m->count < cap / 8)
        while (cap > MIN_CAP && m->count <= cap / 4)
            cap /= 2;
    if (cap != m->cap)
        (void)resize(m, cap); /* no memory for it: the large table is as good */
}

void tt_map_init(struct tt_map *m, const uint8_t hash_key[TT_SIPHASH_KEY],
                 const struct tt_alloc *alloc)
{
    *m = (struct tt_map){.alloc = alloc};
    memcpy(m->hash_key, hash_key, TT_SIPHASH_KEY);
}

void tt_map_dispose(struct tt_map *m)
{
    if (m->slots)
        m->alloc->put(m->alloc->ctx, m->slots);
    m->slots = NULL;
    m->cap = 0;
    m->count = 0;
}

void *tt_map_find(const struct tt_map *m, uint64_t key)
{
    return m->count > 0 ? slot_for(m, key)->value : NULL;
}

int tt_map_insert(struct tt_map *m, uint64_t key, void *value)
{
    if (!value || tt_map_find(m, key))
        return TT_E_INVAL;
    if (m->count >= m->cap - (m->cap + 3) / 4) {
        int err = resize(m, m->cap ? 2 * m->cap : MIN_CAP);
        if (err)
            return err;
    }
    *slot_for(m, key) = (struct tt_map_slot){key, value};
    m->count++;
    return TT_OK;
}

void *tt_map_remove(struct tt_map *m, uint64_t key)
{
    if (m->count == 0)
        return NULL;
    struct tt_map_slot *slot = slot_for(m, key);
    void *value = slot->value;
    if (value) {
        empty_slot(m, (size_t)(slot - m->slots));
        shrink_if_sparse(m);
    }
    return value;
}

/* Starts below a free slot and goes down, around the end, back to it. So whatever
 * tt_map_iter_remove() moves, it moves from a slot that was visited to one that was visited.
 */
struct tt_map_iter tt_map_iter_over(struct tt_map *m)
{
    size_t gap = 0;
    if (m->count > 0)
        while (m->slots[gap].value)
            gap++;
    return (struct tt_map_iter){.map = m, .at = gap, .left = m->count > 0 ? m->cap - 1 : 0};
}

void *tt_map_iter_next(struct tt_map_iter *it, uint64_t *key)
{
    const struct tt_map *m = it->map;
    while (it->left > 0 && m->count > 0) {
        it->left--;
        it->at = (it->at - 1) & (m->cap - 1);
        const struct tt_map_slot *slot = &m->slots[it->at];
        if (!slot->value)
            continue;
        if (key)
            *key = slot->key;
        return slot->value;
    }
    return NULL;
}

void tt_map_iter_remove(struct tt_map_iter *it)
{
    assert(it->map->count > 0 && it->map->slots[it->at].value);
    empty_slot(it->map, it->at);
    if (it->map->count == 0)
        (void)resize(it->map, 0);
}
