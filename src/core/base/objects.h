/* objects.h - many objects of one size, in blocks of their own.
 *
 * An allocator for everything puts objects that go together between others that stay, and little of
 * their memory returns to the system. Here a block has objects of one kind only, and is given back
 * with the last of them.
 *
 * Under AddressSanitizer each object has a block of its own, so that it is seen when somebody uses
 * one that was given back. One thread at a time.
 */
#ifndef TT_CORE_BASE_OBJECTS_H
#define TT_CORE_BASE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

#include "core/base/list.h"

struct tt_objects {
    const struct tt_alloc *alloc; /* borrowed; outlives it */
    size_t step_bytes;            /* from one object of a block to the next */
    uint32_t per_block;
    uint32_t blocks;
    struct tt_list open; /* blocks that have room */
};

/* Objects of so many bytes, at most 32 KiB, that need no alignment above 8. Allocates nothing. */
void tt_objects_init(struct tt_objects *o, size_t object_bytes, const struct tt_alloc *alloc);

/* All objects must have been put back (asserted): there is nothing left to free then. Safe on all
 * zeroes, and twice.
 */
void tt_objects_dispose(struct tt_objects *o);

/* One object, its bytes as they happen to be; NULL: no memory. */
void *tt_objects_get(struct tt_objects *o);

/* Gives back an object, to where it came from. */
void tt_objects_put(void *object);

#endif
