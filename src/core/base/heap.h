/* heap.h - an intrusive binary min-heap of deadlines: what is due first is found in O(1), set,
 * moved and dropped in O(log n).
 *
 * Each object embeds a node, which knows its own place. The heap owns its array of pointers and
 * nothing else: an object must leave the heap before its memory goes away. The array never shrinks,
 * so that room once reserved stays; it is 1 pointer a node. Nodes of equal keys come out in no
 * particular order, but always in the same one for the same calls. One thread at a time per heap.
 */
#ifndef TT_CORE_BASE_HEAP_H
#define TT_CORE_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include <turbotunnel/alloc.h>

struct tt_heap_node {
    uint64_t key;   /* read it freely; change it with tt_heap_update() */
    uint32_t index; /* place in the array counted from 1; 0: in no heap, so all zeroes is ready */
};

struct tt_heap {
    struct tt_heap_node **nodes; /* owned, the nodes are not; nodes[0] has the smallest key */
    uint32_t count;
    uint32_t cap;
    const struct tt_alloc *alloc; /* borrowed; outlives h */
};

/* Allocates nothing. */
void tt_heap_init(struct tt_heap *h, const struct tt_alloc *alloc);

/* Frees the array. The nodes still in it are forgotten, not touched. Safe on an object of all
 * zeroes, and twice.
 */
void tt_heap_dispose(struct tt_heap *h);

/* Makes room for `total` nodes altogether: no insertion fails while there are fewer.
 *
 * Returns 0, or TT_E_NOMEM: h is as it was.
 */
int tt_heap_reserve(struct tt_heap *h, uint32_t total);

/* Adds n, which is in no heap.
 *
 * Returns 0, or TT_E_NOMEM: h and n are as they were. Despite the number's class h may be used on.
 */
int tt_heap_insert(struct tt_heap *h, struct tt_heap_node *n, uint64_t key);

/* Takes n out; nothing happens when it is in no heap. Never fails, keeps the room. */
void tt_heap_remove(struct tt_heap *h, struct tt_heap_node *n);

/* Gives n, which is in h, another key. */
void tt_heap_update(struct tt_heap *h, struct tt_heap_node *n, uint64_t key);

static inline bool tt_heap_linked(const struct tt_heap_node *n)
{
    return n->index != 0;
}

/* The node with the smallest key, or NULL. */
static inline struct tt_heap_node *tt_heap_peek(const struct tt_heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}

#endif
