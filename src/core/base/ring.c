#include <string.h>

#include <turbotunnel/error.h>

#include "core/base/ring.h"

void tt_ring_dispose(struct tt_ring *ring, const struct tt_alloc *alloc)
{
    if (ring->items)
        alloc->put(alloc->ctx, ring->items);
    *ring = (struct tt_ring){.items = NULL};
}

int tt_ring_grow(struct tt_ring *ring, const struct tt_alloc *alloc, size_t item_size,
                 uint32_t first, uint32_t count, uint32_t want)
{
    struct tt_ring bigger = {.capacity = ring->capacity ? ring->capacity : 1};
    while (bigger.capacity < want)
        bigger.capacity *= 2;
    if (bigger.capacity > SIZE_MAX / item_size)
        return TT_E_NOMEM;
    bigger.items = alloc->get(alloc->ctx, bigger.capacity * item_size);
    if (!bigger.items)
        return TT_E_NOMEM;
    memset(bigger.items, 0, bigger.capacity * item_size);
    for (uint32_t i = 0; i < count; i++)
        memcpy(tt_ring_at(&bigger, item_size, first + i), tt_ring_at(ring, item_size, first + i),
               item_size);
    tt_ring_dispose(ring, alloc);
    *ring = bigger;
    return TT_OK;
}
