/* map.h - a hash map from 64-bit keys that strangers may choose (session IDs, stream numbers) to
 * pointers.
 *
 * Keys are hashed with SipHash under 16 secret bytes, so nobody outside can choose keys that
 * collide. Open addressing, at most three quarters full; an entry is two words; an empty map holds
 * no memory. It grows and shrinks by moving everything at once: O(1) a call on average, not in the
 * worst case.
 *
 * The map owns its table, never the values. One thread at a time per map.
 */
#ifndef TT_CORE_BASE_MAP_H
#define TT_CORE_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/siphash.h"

struct tt_map_slot {
    uint64_t key;
    void *value; /* NULL: the slot is free */
};

struct tt_map {
    struct tt_map_slot *slots; /* owned; `cap` of them, a power of two, or NULL */
    size_t cap;
    size_t count;
    uint8_t hash_key[TT_SIPHASH_KEY];
    const struct tt_alloc *alloc; /* borrowed; outlives m */
};

/* hash_key is copied: draw it at random, once for a process or a map. Allocates nothing. */
void tt_map_init(struct tt_map *m, const uint8_t hash_key[TT_SIPHASH_KEY],
                 const struct tt_alloc *alloc);

/* Frees the table and forgets all entries; the values are the caller's as before. The map is empty
 * and may be used on. Safe on an object of all zeroes, and twice.
 */
void tt_map_dispose(struct tt_map *m);

static inline size_t tt_map_count(const struct tt_map *m)
{
    return m->count;
}

/* The value of key, or NULL. */
void *tt_map_find(const struct tt_map *m, uint64_t key);

/* Adds key, whose value must not be NULL.
 *
 * Returns 0
 *         TT_E_INVAL  key has a value already (unchanged), or value is NULL
 *         TT_E_NOMEM  no room and no memory; m is as it was, and may be used on
 */
int tt_map_insert(struct tt_map *m, uint64_t key, void *value);

/* Takes key out and returns its value; NULL: it was not there. Never fails: when there is no memory
 * for a smaller table, the large one stays.
 */
void *tt_map_remove(struct tt_map *m, uint64_t key);

/* Visits every entry once, in no order that means anything. Meanwhile the map may be changed
 * through tt_map_iter_remove() only.
 *
 *     struct tt_map_iter it = tt_map_iter_over(m);
 *     for (void *value; (value = tt_map_iter_next(&it, &key)) != NULL;)
 */
struct tt_map_iter {
    struct tt_map *map; /* borrowed */
    size_t at;          /* the slot visited last */
    size_t left;        /* slots not yet looked at */
};

struct tt_map_iter tt_map_iter_over(struct tt_map *m);

/* The next entry's value, and its key in *key unless key is NULL; NULL at the end. */
void *tt_map_iter_next(struct tt_map_iter *it, uint64_t *key);

/* Takes the entry out that tt_map_iter_next() gave last; at most once for each. The table is not
 * made smaller on the way, but freed with its last entry.
 */
void tt_map_iter_remove(struct tt_map_iter *it);

#endif
