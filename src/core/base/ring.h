/* ring.h - a growing ring of equal items, found by their sequence number in one step.
 *
 * The ring knows no head and no tail: its user owns a range [first, first + count) of 32-bit
 * numbers that slides upwards, and reserves before it adds. Memory follows the range: none before
 * the first item, that of one item with it, doubled when it must grow, given back by
 * tt_ring_dispose when the user is idle. Items of a number that was never written are all zeroes.
 */
#ifndef TT_CORE_BASE_RING_H
#define TT_CORE_BASE_RING_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

struct tt_ring {
    uint8_t *items;    /* owned; capacity items, or NULL */
    uint32_t capacity; /* a power of two, or 0 */
};

/* Frees the memory. The ring can be used on. Safe on all zeroes, and twice. */
void tt_ring_dispose(struct tt_ring *ring, const struct tt_alloc *alloc);

/* Makes room for [first, first + want) and keeps the items of [first, first + count);
 * count <= want <= 2^31. Returns 0, or TT_E_NOMEM (nothing has changed).
 */
int tt_ring_grow(struct tt_ring *ring, const struct tt_alloc *alloc, size_t item_size,
                 uint32_t first, uint32_t count, uint32_t want);

static inline int tt_ring_reserve(struct tt_ring *ring, const struct tt_alloc *alloc,
                                  size_t item_size, uint32_t first, uint32_t count, uint32_t want)
{
    return want <= ring->capacity ? 0 : tt_ring_grow(ring, alloc, item_size, first, count, want);
}

/* The item of that number, which must be within a reserved range. */
static inline void *tt_ring_at(const struct tt_ring *ring, size_t item_size, uint32_t number)
{
    return ring->items + (number & (ring->capacity - 1)) * item_size;
}

#endif
